"""Aligns the words of a translation with the words of its source by the decoder's attention, in a TensorFlow graph.

Words are separated by spaces. The attention of the second-to-last decoder layer is used, because this layer attends to
the source word that is being translated (Garg et al. 2019). So no extra training is needed. Attention is computed
within one piece of a text. Words are numbered over the whole text.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.forced.given_pieces import GivenPieces
from keras_nmt.app.decoding.text.leading_tags import leads
from keras_nmt.app.decoding.text.long_input import CutTables
from keras_nmt.app.decoding.text.texts import row_lengths
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD

ATTENTION_AT_ONCE = 2**21  # attention weights of each head that are computed at once; bounds the memory


class Alignments(NamedTuple):
    """The alignments of N translations with their sources. Translations have up to U words, sources up to W."""

    alignments: tf.Tensor  # string [N], Pharaoh's format: "0-0 2-1" aligns source word 2 with target word 1
    weights: tf.Tensor  # float32 [N, U, W], the attention of each target word to each source word


class Words(NamedTuple):
    """The words on one side, source or target, of M pairs of pieces. A piece has up to L tokens."""

    numbers: tf.Tensor  # int32 [M, L], the word of each token, from 0 in each piece; -1 if the token is in no word
    count: tf.Tensor  # int32 [M], the number of words in the tokens
    first: tf.Tensor  # int32 [M], the number of words in the text before the tokens
    copied: tf.Tensor  # int32 [M], the number of copied words of the piece, which are included in `first`


class Attention(NamedTuple):
    """The attention of each target word to each source word, summed over the tokens of the two words."""

    sums: tf.Tensor  # float32 [N, U, W]
    tokens: tf.Tensor  # float32 [N, U], the number of tokens in each target word; 0 if the word is not aligned


def word_numbers(ids: tf.Tensor, tables: CutTables) -> tf.Tensor:
    """Returns the number of the word that contains each token: int32 in the shape of `ids`, [M, L].

    The words of each row are numbered from 0. PAD, EOS and leading tags have -1.
    """
    is_text = (ids != PAD) & (ids != EOS)
    if tables.tags.is_tag.any():
        is_text &= ~leads(ids, tables.tags)
    word = tf.cumsum(tf.cast(tf.gather(tables.starts_word, ids) & is_text, tf.int32), axis=1)
    return tf.where(is_text, tf.maximum(word, 1) - 1, -1)


def align_pieces(
    pieces: GivenPieces,
    numbers: tf.Tensor,
    target_numbers: tf.Tensor,
    before: tf.Tensor,
    weights_of: Callable[[tf.Tensor, tf.Tensor], tf.Tensor],
) -> Alignments:
    """Aligns the words of N texts and their translations, piece by piece.

    Args:
        pieces: M pairs of source and target pieces.
        numbers: int32 [M, S], the word number of each source token, from `word_numbers`.
        target_numbers: int32 [M, T], the word number of each target token, from `word_numbers`.
        before: int32 [N], the number of words of each text before its first piece.
        weights_of: The function (first, end) -> float32 [B, T, S], the attention of each target token to each source
            token in the B pairs with the indices first to end - 1. S may be smaller than in `numbers` if these B source
            pieces are shorter.
    """
    every = tf.range(tf.size(pieces.owner))
    source_words = words_per_piece(
        numbers, pieces, begins=pieces.source_begins_word, source=pieces.source, before=before
    )
    target_words = words_per_piece(
        target_numbers, pieces, begins=pieces.target_begins_word, source=every, before=tf.zeros_like(before)
    )
    words = (tf.maximum(0, tf.reduce_max(side.first + side.count)) for side in (target_words, source_words))
    shape = tf.stack([tf.size(before), *words])
    at_once = tf.maximum(1, ATTENTION_AT_ONCE // (tf.shape(numbers)[1] * tf.shape(target_numbers)[1]))

    def some(first: tf.Tensor, done: Attention) -> tuple[tf.Tensor, Attention]:
        weights = weights_of(first, first + at_once)
        source, target = (
            Words(*(values[first : first + at_once] for values in side)) for side in (source_words, target_words)
        )
        source = source._replace(numbers=source.numbers[:, : tf.shape(weights)[2]])
        found = attention_of(weights, source, target, pieces.owner[first : first + at_once], shape)
        return first + at_once, Attention(*(a + b for a, b in zip(done, found, strict=True)))

    _, attention = tf.while_loop(
        lambda first, _: first < tf.size(every),
        some,
        (tf.constant(0), attention_of_copied(source_words, target_words, pieces.owner, shape)),
        shape_invariants=(tf.TensorShape([]), Attention(tf.TensorShape([None] * 3), tf.TensorShape([None] * 2))),
    )
    return align_words(attention)


def words_per_piece(
    numbers: tf.Tensor, pieces: GivenPieces, *, begins: tf.Tensor, source: tf.Tensor, before: tf.Tensor
) -> Words:
    """Counts the words of all pieces on one side, source or target, and the words of the text before each piece.

    Args:
        numbers: int32 [M, L], the word number of each token on this side, from `word_numbers`.
        pieces: The pairs of pieces.
        begins: bool [M], True if the piece starts a word, False if it continues the last word of the previous piece.
        source: int32 [M], the index of the piece that each pair contains on this side, ascending. Several pairs may
            contain the same piece.
        before: int32 [N], the number of words of each text before its first piece.
    """
    count = 1 + tf.reduce_max(tf.pad(numbers, [[0, 0], [0, 1]], constant_values=-1), axis=1)
    copied = row_lengths(tf.strings.split(pieces.copied))
    is_new = tf.concat([source[:1] >= 0, source[1:] != source[:-1]], axis=0)
    words = tf.where(is_new, copied + count, 0)
    ends = tf.cumsum(words - tf.cast((words > 0) & ~begins, tf.int32))  # a continued word is already counted
    starts = tf.math.segment_min(ends - words, source)  # [distinct pieces]
    owner = tf.math.segment_min(pieces.owner, source)
    so_far = tf.concat([[0], ends], axis=0)
    first_pieces = tf.math.segment_min(tf.range(tf.size(copied)), pieces.owner)
    of_text = tf.gather(so_far, first_pieces)  # [N], the number of words in all earlier texts
    first = tf.gather(starts - tf.gather(of_text - before, owner), source - source[:1])
    return Words(numbers, count, first + copied, copied)


def attention_of(weights: tf.Tensor, source: Words, target: Words, owner: tf.Tensor, shape: tf.Tensor) -> Attention:
    """Computes the attention of target words to source words by summing the attention between their tokens.

    Args:
        weights: float32 [B, T, S], the attention of each target token to each source token.
        source: The words of the source pieces.
        target: The words of the target pieces.
        owner: int32 [B], the text that each piece belongs to.
        shape: int32 [3], the sizes N, U and W of the result.
    """
    in_source, in_target = (
        tf.one_hot(side.numbers, tf.maximum(1, tf.reduce_max(side.count))) for side in (source, target)
    )  # [B, S, W] and [B, T, U]
    by_word = tf.matmul(in_target, tf.matmul(weights, in_source), transpose_a=True)  # [B, U, W]
    tokens = tf.reduce_sum(in_target, axis=1) * tf.cast(source.count > 0, tf.float32)[:, tf.newaxis]  # [B, U]
    is_word = (tokens > 0)[:, :, tf.newaxis] & tf.sequence_mask(source.count, tf.shape(in_source)[2])[:, tf.newaxis]
    piece, u, w = tf.unstack(tf.cast(tf.where(is_word), tf.int32), axis=1)
    text, u = tf.gather(owner, piece), u + tf.gather(target.first, piece)
    sums = tf.scatter_nd(tf.stack([text, u, w + tf.gather(source.first, piece)], 1), by_word[is_word], shape)
    piece, u = tf.unstack(tf.cast(tf.where(tokens > 0), tf.int32), axis=1)
    places = tf.stack([tf.gather(owner, piece), u + tf.gather(target.first, piece)], axis=1)
    return Attention(sums, tf.scatter_nd(places, tokens[tokens > 0], shape[:2]))


def attention_of_copied(source: Words, target: Words, owner: tf.Tensor, shape: tf.Tensor) -> Attention:
    """Returns attention that aligns each copied word with itself. `attention_of` describes the arguments."""
    piece = tf.repeat(tf.range(tf.size(owner)), source.copied)
    number = tf.range(tf.size(piece)) - tf.gather(tf.cumsum(source.copied, exclusive=True), piece)
    text = tf.gather(owner, piece)
    w, u = (tf.gather(side.first - side.copied, piece) + number for side in (source, target))
    ones = tf.ones(tf.shape(piece))
    return Attention(
        tf.scatter_nd(tf.stack([text, u, w], axis=1), ones, shape),
        tf.scatter_nd(tf.stack([text, u], axis=1), ones, shape[:2]),
    )


def align_words(attention: Attention) -> Alignments:
    """Aligns each target word with the source word that it attends to most."""
    by_word = tf.math.divide_no_nan(attention.sums, attention.tokens[:, :, tf.newaxis])
    rows, words = tf.shape(by_word)[0], tf.shape(by_word)[1]
    # The extra column makes argmax defined for a source without words.
    best = tf.argmax(tf.pad(by_word, [[0, 0], [0, 0], [0, 1]], constant_values=-1.0), axis=2, output_type=tf.int32)
    pairs = tf.strings.join(
        [tf.strings.as_string(best), tf.strings.as_string(tf.broadcast_to(tf.range(words), [rows, words]))], "-"
    )
    found = tf.ragged.boolean_mask(pairs, attention.tokens > 0)
    return Alignments(tf.strings.reduce_join(found, axis=1, separator=" "), by_word)
