"""Splits sentences that are too long for a model into shorter pieces. No text is dropped.

This module works on token ids in a TensorFlow graph. It only knows which tokens start a word and which may end a
sentence. The module `sentences` has already cut the texts into sentences.
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
_LATE = 2  # makes a word boundary in the second half of the tokens better than a sentence end in the first half


class CutTables(NamedTuple):
    """Properties of each token that are needed for cutting; the arrays are bool [V]."""

    starts_word: np.ndarray
    ends_sentence: np.ndarray  # True if a sentence ends after the token, provided that the next token starts a word
    ends_unspaced_sentence: np.ndarray  # True if a sentence ends after the token, whichever token follows
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
    """Splits each row of more than `limit` tokens into pieces of at most `limit` tokens.

    A row of at most `limit` tokens stays one piece, even if it is empty. A longer row is cut within its first `limit`
    tokens, and the rest is cut in the same way. Each cut is at the first of these places that exists:

    1. the last sentence end in the second half of the `limit` tokens;
    2. the last word boundary in the second half;
    3. the last sentence end in the first half;
    4. the last word boundary in the first half;
    5. after `limit` tokens, within a very long word.

    The leading tags of a row do not count as tokens, and are repeated at the start of each of its pieces. A row that
    contains only tags becomes an empty piece.

    Example with the ids 4, 5, 6 and 7 for ▁a, ▁b, . and x, and limit 4:

        tokens  [[4, 6, 5, 7, 5, 7, 7],       [4, 5],  []]     "a. bx bxx", "a b", ""
        pieces  [[4, 6], [5, 7], [5, 7, 7],   [4, 5],  []]     "a.", "bx", "bxx", "a b", ""
        owner   [0,      0,      0,           1,       2]

    Args:
        tokens: int32 [N, (L)].
        limit: The largest number of tokens in a piece, at least 1.
        tables: The tables of the vocabulary, from `cut_tables`.

    Returns:
        The pieces, int32 [M, (L)] with M >= N, in the order of the text, and the row of each piece, int32 [M].
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
    # Starts and owners both ascend in text order. So they stay aligned if each is sorted separately.
    piece_starts = tf.sort(tf.concat([starts, cuts.places], axis=0))
    owner = tf.sort(tf.concat([tf.range(tf.size(starts)), cuts.rows], axis=0))
    splits = tf.concat([piece_starts, [tf.size(tokens.values)]], axis=0)
    return tf.RaggedTensor.from_row_splits(tokens.values, splits), owner


class _Cuts(NamedTuple):
    """The C places at which rows are cut, and the row of each place; both int32 [C].

    A place is the index of the token after the cut in the concatenated rows.
    """

    places: tf.Tensor
    rows: tf.Tensor


def _cut_quality(values: tf.Tensor, tables: CutTables) -> tf.Tensor:
    """Rates a cut before each token as `_NO_CUT`, `_WORD` or `_SENTENCE`: int32 [L].

    `values`, int32 [L], contains the tokens of all rows, concatenated.
    """
    before, after = values[:-1], values[1:]
    between_words = tf.gather(tables.starts_word, after)
    sentence_end = (tf.gather(tables.ends_sentence, before) & between_words) | tf.gather(
        tables.ends_unspaced_sentence, before
    )
    quality = tf.where(sentence_end, _SENTENCE, tf.where(between_words, _WORD, _NO_CUT))
    return tf.concat([[_NO_CUT], quality], axis=0)


def _cuts(quality: tf.Tensor, starts: tf.Tensor, ends: tf.Tensor, limit: tf.Tensor) -> _Cuts:
    """Finds all cuts: repeatedly cuts a piece from the start of each row until its rest has at most `limit` tokens.

    Args:
        quality: int32 [L], the rating of a cut before each token of the concatenated rows, from `_cut_quality`.
        starts: int32 [N], the index of the first token of each row.
        ends: int32 [N], the index after the last token of each row.
        limit: The largest number of tokens in a piece.
    """

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
    """Returns the length of the next piece of each row: int32 [R].

    `starts`, int32 [R], has the index of the first token of each of these pieces. From this token on, the row must have
    more than `limit` tokens.
    """
    lengths = tf.range(1, limit + 1)
    found = tf.gather(quality, starts[:, tf.newaxis] + lengths)  # [R, limit]
    is_late = (found > _NO_CUT) & (2 * lengths >= limit)
    rank = found + tf.where(is_late, _LATE, 0)
    return 1 + tf.argmax(rank * (limit + 1) + lengths, axis=1, output_type=tf.int32)  # the last of the best places
