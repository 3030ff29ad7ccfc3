"""Splits sentences that are too long for a model into pieces that it can take. Nothing is dropped.

It works on token ids in the graph, and knows only which tokens start a word and which may end a sentence. Texts are cut
into sentences earlier, by `sentences`.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.text.leading_tags import TagTables, is_language_code, leading_of, tag_tables

_WORD_START = "▁"  # SentencePiece's mark of a space before the piece
_SENTENCE_END = re.compile(r"[.!?…][\"'”’»)\]]*$")  # noqa: RUF001
_UNSPACED_SENTENCE_END = re.compile(r"[。！？｡][”’」』）]*$")  # noqa: RUF001

_NO_CUT, _WORD, _SENTENCE = 0, 1, 2
_LATE = 2  # a word boundary in the second half of the window is preferred to a sentence end in the first


class CutTables(NamedTuple):
    """What cutting needs to know about each token; the arrays are bool [V]."""

    starts_word: np.ndarray
    ends_sentence: np.ndarray  # if the next token starts a word
    ends_unspaced_sentence: np.ndarray  # whatever token follows
    tags: TagTables


def cut_tables(pieces: Sequence[str]) -> CutTables:
    """Makes the tables of a vocabulary from its SentencePiece pieces, in the order of their ids."""
    return CutTables(
        starts_word=np.array([p.startswith(_WORD_START) or is_language_code(p) for p in pieces], bool),
        ends_sentence=np.array([bool(_SENTENCE_END.search(p)) for p in pieces], bool),
        ends_unspaced_sentence=np.array([bool(_UNSPACED_SENTENCE_END.search(p)) for p in pieces], bool),
        tags=tag_tables(pieces),
    )


def split_long(tokens: tf.RaggedTensor, limit: int | tf.Tensor, tables: CutTables) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Splits each row of more than `limit` tokens into pieces of at most `limit`.

    A row within the limit stays one piece, even if it is empty. A longer one is cut at the last sentence end in the
    second half of the next `limit` tokens; without one, at the last word boundary there; without one, likewise in the
    first half; within a very long word, at the limit. The leading tags of a row do not count and are repeated at the
    start of each of its pieces; a row of tags alone is an empty piece.

    Example with the ids 4, 5, 6 and 7 for ▁a, ▁b, . and x, and limit 4:

        tokens  [[4, 6, 5, 7, 5, 7, 7],       [4, 5],  []]     "a. bx bxx", "a b", ""
        pieces  [[4, 6], [5, 7], [5, 7, 7],   [4, 5],  []]     "a.", "bx", "bxx", "a b", ""
        owner   [0,      0,      0,           1,       2]

    Args:
        tokens: int32 [N, (L)].
        limit: The most tokens of a piece, at least 1.
        tables: From `cut_tables`.

    Returns:
        The pieces, int32 [M, (L)] with M >= N, in the order of the text, and the row of each, int32 [M].
    """
    limit = tf.convert_to_tensor(limit, tf.int32)
    if not tables.tags.is_tag.any():
        return _split(tokens, limit, tables)
    is_leading = leading_of(tokens, tables.tags)
    text = tf.ragged.boolean_mask(tokens, ~is_leading)
    has_text = tf.gather(text.row_lengths() > 0, tokens.value_rowids())
    tags = tf.ragged.boolean_mask(tokens, is_leading.with_values(is_leading.values & has_text))
    pieces, owner = _split(text, limit, tables)
    return tf.concat([tf.gather(tags.with_row_splits_dtype(tf.int32), owner), pieces], axis=1), owner


def _split(tokens: tf.RaggedTensor, limit: tf.Tensor, tables: CutTables) -> tuple[tf.RaggedTensor, tf.Tensor]:
    starts = tf.cast(tokens.row_splits[:-1], tf.int32)
    cuts = _cuts(_cut_quality(tokens.values, tables), starts, tf.cast(tokens.row_splits[1:], tf.int32), limit)
    # Rows and cuts are both in text order, so sorting starts and owners separately keeps them aligned.
    piece_starts = tf.sort(tf.concat([starts, cuts.places], axis=0))
    owner = tf.sort(tf.concat([tf.range(tf.size(starts)), cuts.rows], axis=0))
    splits = tf.concat([piece_starts, [tf.size(tokens.values)]], axis=0)
    return tf.RaggedTensor.from_row_splits(tokens.values, splits), owner


class _Cuts(NamedTuple):
    """The places where the flat tokens are cut, and their rows; both int32 [C]."""

    places: tf.Tensor
    rows: tf.Tensor


def _cut_quality(values: tf.Tensor, tables: CutTables) -> tf.Tensor:
    """Rates a cut before each of the flat tokens: int32 [L]."""
    before, after = values[:-1], values[1:]
    between_words = tf.gather(tables.starts_word, after)
    sentence_end = (tf.gather(tables.ends_sentence, before) & between_words) | tf.gather(
        tables.ends_unspaced_sentence, before
    )
    quality = tf.where(sentence_end, _SENTENCE, tf.where(between_words, _WORD, _NO_CUT))
    return tf.concat([[_NO_CUT], quality], axis=0)


def _cuts(quality: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, limit: tf.Tensor) -> _Cuts:
    """Cuts one piece from every row that is still too long, until no row is."""

    def any_too_long(starts: tf.Tensor, _: _Cuts) -> tf.Tensor:
        return tf.reduce_any(ends - starts > limit)

    def cut(starts: tf.Tensor, cuts: _Cuts) -> tuple[tf.Tensor, _Cuts]:
        rows = tf.where(ends - starts > limit)[:, 0]
        lengths = _piece_lengths(quality, tf.gather(starts, rows), limit)
        starts = tf.tensor_scatter_nd_add(starts, rows[:, tf.newaxis], lengths)
        places = tf.concat([cuts.places, tf.gather(starts, rows)], axis=0)
        return starts, _Cuts(places, tf.concat([cuts.rows, tf.cast(rows, tf.int32)], axis=0))

    none = tf.zeros([0], tf.int32)
    some = tf.TensorShape([None])
    _, cuts = tf.while_loop(any_too_long, cut, (starts, _Cuts(none, none)), shape_invariants=(some, _Cuts(some, some)))
    return cuts


def _piece_lengths(quality: tf.Tensor, starts: tf.Tensor, limit: tf.Tensor) -> tf.Tensor:
    """Returns the length of the next piece of rows with more than `limit` tokens from `starts` [R] on: int32 [R]."""
    lengths = tf.range(1, limit + 1)
    found = tf.gather(quality, starts[:, tf.newaxis] + lengths)  # [R, limit]
    is_late = (found > _NO_CUT) & (2 * lengths >= limit)
    rank = found + tf.where(is_late, _LATE, 0)
    return 1 + tf.argmax(rank * (limit + 1) + lengths, axis=1, output_type=tf.int32)  # the last of the best
