"""Cuts texts at the ends of sentences in a TensorFlow graph, at the same places as `cutting` does in Python."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_nmt.pipelines.sentences.rules import (
    CHARACTERS,
    CUT,
    CUTTING,
    CUTTING_SMALL,
    LINE_ENDS,
    SPACES,
    WITHOUT_CAPITALS,
    WORDS,
    Rule,
)

CountTokens = Callable[[tf.Tensor], tf.Tensor]
_BLANK_END = f"[{SPACES}{LINE_ENDS}]+$"


def cut_at_sentence_in_graph(
    texts: tf.Tensor, limit: int | tf.Tensor, count_tokens: CountTokens
) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes `cutting.cut_at_sentence` for each of `texts`.

    Args:
        texts: string [N].
        limit: The largest number of tokens, a scalar.
        count_tokens: Returns the number of tokens of each text: string [M] -> [M], of any integer type.

    Returns:
        The texts or their starts, string [N], and whether each text was cut, bool [N].
    """
    limit = tf.cast(limit, tf.int32)

    def fits(some: tf.Tensor) -> tf.Tensor:
        return tf.cast(count_tokens(some), tf.int32) <= limit

    is_long = ~fits(texts)
    rest = tf.boolean_mask(texts, is_long)
    found = tf.fill(tf.shape(rest), "")
    for cut_into_pieces in (sentence_pieces_in_graph, _words, _characters):
        pieces = cut_into_pieces(rest)
        rest = tf.strings.reduce_join(pieces, axis=1)
        ends = _ends(pieces)
        start = _starts(rest, _last_fitting(rest, ends, fits))
        found = tf.where(found == "", start, found)
        first = tf.concat([ends, tf.zeros([ends.nrows(), 1], tf.int32)], axis=1)[:, :1].values
        rest = tf.where(found == "", _starts(rest, first), "")
    return tf.tensor_scatter_nd_update(texts, tf.where(is_long), found), is_long


def sentence_pieces_in_graph(texts: tf.Tensor) -> tf.RaggedTensor:
    """Computes `cutting.sentence_pieces` for each of `texts` (string [N]): string [N, (S)]."""
    pieces = tf.strings.split(_replaced(texts, CUTTING), CUT)
    small = tf.strings.regex_full_match(pieces.values, WITHOUT_CAPITALS)
    marked = tf.where(small, _replaced(pieces.values, CUTTING_SMALL), pieces.values)
    return pieces.with_values(tf.strings.split(marked, CUT)).merge_dims(1, 2)


def _words(texts: tf.Tensor) -> tf.RaggedTensor:
    return tf.strings.split(_replaced(texts, WORDS), CUT)


def _characters(texts: tf.Tensor) -> tf.RaggedTensor:
    return tf.strings.split(_replaced(texts, CHARACTERS), CUT)


def _ends(pieces: tf.RaggedTensor) -> tf.RaggedTensor:
    """Returns where the pieces end in their texts, without the spaces at the end of a piece, in bytes.

    Args:
        pieces: string [N, (S)].

    Returns:
        int32 [N, (E)], one end for each piece that is not blank.
    """
    lengths = tf.strings.length(pieces.values)
    ends = tf.cumsum(lengths)
    before = tf.gather(tf.concat([[0], ends], axis=0), pieces.row_starts())  # [N], the bytes of all earlier texts
    without_blanks = tf.strings.regex_replace(pieces.values, _BLANK_END, "")
    ends = ends - lengths + tf.strings.length(without_blanks) - tf.gather(before, pieces.value_rowids())
    return tf.ragged.boolean_mask(pieces.with_values(ends), pieces.with_values(without_blanks != ""))


def _last_fitting(texts: tf.Tensor, ends: tf.RaggedTensor, fits: Callable[[tf.Tensor], tf.Tensor]) -> tf.Tensor:
    """Returns the last end up to which each text fits, or 0 if there is none: int32 [N].

    Searches as `bisect.bisect_right` does, for all texts at once, so that Python finds the same place even if the
    number of tokens decreases where text is added.
    """
    starts = tf.cast(ends.row_starts(), tf.int32)
    values = tf.concat([ends.values, [0]], axis=0)

    def unfinished(low: tf.Tensor, high: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(low < high)

    def halve(low: tf.Tensor, high: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        middle = (low + high) // 2
        fitting = fits(_starts(texts, tf.gather(values, starts + middle)))
        searched = low < high
        return tf.where(searched & fitting, middle + 1, low), tf.where(searched & ~fitting, middle, high)

    low, _ = tf.while_loop(unfinished, halve, (tf.zeros_like(starts), tf.cast(ends.row_lengths(), tf.int32)))
    return tf.where(low > 0, tf.gather(values, tf.maximum(starts + low - 1, 0)), 0)


def _starts(texts: tf.Tensor, lengths: tf.Tensor) -> tf.Tensor:
    """Returns the first `lengths` (int32 [N]) bytes of each text: string [N]."""
    return tf.strings.substr(texts, tf.zeros_like(lengths), lengths)


def _replaced(texts: tf.Tensor, rules: Sequence[Rule]) -> tf.Tensor:
    for rule in rules:
        texts = tf.strings.regex_replace(texts, rule.pattern, rule.replacement)
    return texts
