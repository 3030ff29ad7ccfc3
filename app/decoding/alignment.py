"""Which words of a translation come from which of its source, by where the decoder looks, in the graph.

A word is what stands between two spaces. In the last but one layer the decoder looks at the word that it translates
(Garg et al. 2019), so no training for it is needed.
"""

from typing import NamedTuple

import tensorflow as tf


class Alignments(NamedTuple):
    """Of N translations of up to U words with their sources of up to W words."""

    alignments: tf.Tensor  # string [N], Pharaoh's format: "0-0 2-1" says that source word 2 became target word 1
    weights: tf.Tensor  # float32 [N, U, W], how much of its attention each target word gives to each source word


def align_words(weights: tf.Tensor, source_words: tf.Tensor, target_words: tf.Tensor) -> Alignments:
    """Aligns each target word to the source word to which it gives most.

    Args:
        weights: float32 [N, T, S], how much each target token attends to each source token.
        source_words: int32 [N, S], the word that a token belongs to, from 0 on; -1 for EOS and PAD.
        target_words: int32 [N, T], the same.
    """
    of_source, of_target = (
        tf.one_hot(words, 1 + tf.reduce_max(words)) for words in (source_words, target_words)
    )  # [N, S, W], [N, T, U]
    tokens = tf.reduce_sum(of_target, axis=1)[:, :, tf.newaxis]  # [N, U, 1]
    by_word = tf.matmul(of_target, tf.matmul(weights, of_source), transpose_a=True)  # [N, U, W]
    by_word = tf.math.divide_no_nan(by_word, tokens)
    rows, words = tf.shape(by_word)[0], tf.shape(by_word)[1]
    exists = (tokens[:, :, 0] > 0) & (tf.reduce_max(source_words, axis=1) >= 0)[:, tf.newaxis]
    # A source of no words has no column of its own to be taken.
    best = tf.argmax(tf.pad(by_word, [[0, 0], [0, 0], [0, 1]], constant_values=-1.0), axis=2, output_type=tf.int32)
    pairs = tf.strings.join(
        [tf.strings.as_string(best), tf.strings.as_string(tf.broadcast_to(tf.range(words), [rows, words]))], "-"
    )
    return Alignments(tf.strings.reduce_join(tf.ragged.boolean_mask(pairs, exists), axis=1, separator=" "), by_word)
