"""Finds the k largest of very many values, faster than `tf.math.top_k` and with the same result."""

from typing import NamedTuple

import tensorflow as tf

BLOCK = 64  # values in a block; on a CPU, block sizes from 32 to 128 are about equally fast


class TopK(NamedTuple):
    """The k largest values of each row, largest first, and their columns; both [B, k]."""

    values: tf.Tensor
    indices: tf.Tensor


def top_k(values: tf.Tensor, k: int | tf.Tensor) -> TopK:
    """Finds the k largest values in each row of `values` (float32 [B, M], M >= k).

    Each row is divided into blocks. The k largest values lie in the k blocks with the largest maxima. So one vectorised
    pass computes the maximum of each block, and only k blocks remain to be sorted. On a CPU, for [32, 32000] and k = 8,
    this takes a third of the time of `tf.math.top_k`. The choice among equal values is arbitrary. If some of the k
    values are -inf, their indices are within the row, but may be equal to each other.
    """
    blocks = _in_blocks(values, at_least=k)  # [B, M] -> [B, blocks, BLOCK]
    best_blocks = tf.math.top_k(tf.reduce_max(blocks, axis=2), k).indices  # [B, k]
    finalists = tf.gather(blocks, best_blocks, batch_dims=1)  # [B, k, BLOCK]
    best = tf.math.top_k(tf.reshape(finalists, [tf.shape(values)[0], k * BLOCK]), k)
    block = tf.gather(best_blocks, best.indices // BLOCK, batch_dims=1)  # [B, k]
    indices = block * BLOCK + best.indices % BLOCK
    return TopK(best.values, tf.minimum(indices, tf.shape(values)[1] - 1))


def _in_blocks(values: tf.Tensor, at_least: int | tf.Tensor) -> tf.Tensor:
    """Reshapes [B, M] to [B, blocks, BLOCK]; pads with -inf to at least `at_least` whole blocks."""
    rows, width = tf.unstack(tf.shape(values))
    blocks = tf.maximum(at_least, -(-width // BLOCK))
    missing = blocks * BLOCK - width

    def padded() -> tf.Tensor:
        return tf.pad(values, [[0, 0], [0, missing]], constant_values=float("-inf"))

    # `tf.pad` would copy all values even if nothing is missing, which is the usual case.
    return tf.reshape(tf.cond(missing > 0, padded, lambda: values), [rows, blocks, BLOCK])
