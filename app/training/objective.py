"""The training objective: label-smoothed cross entropy over the real target tokens.

Logits are made for real tokens alone, a chunk at a time, and a chunk's loss and gradient are taken in one pass while
its logits are in cache; the logits of a whole batch never exist. Vaswani et al. 2017, section 5.4; Szegedy et al. 2016.
"""

from typing import Any, NamedTuple

import tensorflow as tf

CHUNK_TOKENS = 512  # 512 float32 rows of 8,000 logits are 16 MB: they stay in a last-level cache


class TokenSums(NamedTuple):
    """Sums over the real target tokens of a batch, float32 scalars.

    Attributes:
        loss: Of the label-smoothed cross entropy, in nats. The only one with a gradient.
        cross_entropy: Of the plain cross entropy, in nats; perplexity is exp of its mean.
        correct: How many tokens the model puts first.
    """

    loss: tf.Tensor
    cross_entropy: tf.Tensor
    correct: tf.Tensor


def smoothed_cross_entropy(states: tf.Tensor, table: tf.Tensor, labels: tf.Tensor, *, smoothing: float) -> TokenSums:
    """Sums the loss of predicting each label from its state.

    With smoothing e the target distribution is 1 - e on the label plus e / V on every piece. With z = logits:
    loss = logsumexp(z) - (1 - e) z[label] - e mean(z).

    Args:
        states: The decoder's output for real tokens alone, [N, D] in the compute dtype.
        table: The tied projection, [V, D] in the compute dtype.
        labels: int32 [N].
        smoothing: e, in [0, 1).

    Returns:
        The sums; all zero when N is 0.
    """

    @tf.custom_gradient
    def sums(states: tf.Tensor, table: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Any]:
        totals, states_gradient, table_gradient = _chunked(states, table, labels, smoothing)

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            scale = tf.cast(upstream, tf.float32)
            return (
                tf.cast(tf.cast(states_gradient, tf.float32) * scale, states.dtype),
                tf.cast(table_gradient * scale, table.dtype),
            )

        return tuple(tf.unstack(totals)), gradient

    return TokenSums(*sums(states, table))


def _chunked(
    states: tf.Tensor, table: tf.Tensor, labels: tf.Tensor, smoothing: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Walks over chunks of tokens -> the sums [3], d loss / d states [N, D], d loss / d table [V, D] in float32."""
    tokens = tf.shape(states)[0]
    chunks = tf.maximum(1, -(-tokens // CHUNK_TOKENS))
    mean_row = tf.reduce_mean(tf.cast(table, tf.float32), axis=0)  # [D]; its product with a state is mean(z)

    def body(
        i: tf.Tensor, totals: tf.Tensor, gradients: tf.TensorArray, table_gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
        span = slice(i * CHUNK_TOKENS, tf.minimum((i + 1) * CHUNK_TOKENS, tokens))
        chunk = _loss_and_gradient(states[span], table, labels[span], mean_row, smoothing)
        chunk_totals, chunk_gradient, chunk_table_gradient = chunk
        return (
            i + 1,
            totals + chunk_totals,
            gradients.write(i, chunk_gradient),
            table_gradient + tf.cast(chunk_table_gradient, tf.float32),
        )

    _, totals, gradients, table_gradient = tf.while_loop(
        lambda i, *_: i < chunks,
        body,
        (
            tf.constant(0),
            tf.zeros(3),
            tf.TensorArray(states.dtype, size=chunks, infer_shape=False, element_shape=[None, states.shape[-1]]),
            tf.zeros_like(table, tf.float32),
        ),
        parallel_iterations=1,
    )
    states_gradient = gradients.concat()
    table_gradient += smoothing * _smoothing_table_gradient(states, table, labels)
    return totals, states_gradient, table_gradient


def _loss_and_gradient(
    x: tf.Tensor, table: tf.Tensor, labels: tf.Tensor, mean_row: tf.Tensor, smoothing: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """One chunk x [n, D] -> its sums [3], d loss / dx [n, D], and the unsmoothed part of d loss / d table [V, D].

    d loss / dz = (softmax(z) - onehot) + e (onehot - 1/V). The first term is dense; the second is of low rank, so it
    goes to dx through the label's row and the mean row, and to the table in `_smoothing_table_gradient`.
    """
    logits = tf.cast(tf.matmul(x, table, transpose_b=True), tf.float32)  # [n, V]
    cross_entropy, error = tf.raw_ops.SparseSoftmaxCrossEntropyWithLogits(features=logits, labels=labels)
    label_rows = tf.cast(tf.gather(table, labels), tf.float32)  # [n, D]
    away_from_mean = label_rows - mean_row
    wide = tf.cast(x, tf.float32)
    smoothed = cross_entropy + smoothing * tf.reduce_sum(wide * away_from_mean, axis=-1)
    correct = tf.equal(tf.argmax(logits, axis=-1, output_type=tf.int32), labels)
    totals = tf.stack(
        [
            tf.reduce_sum(smoothed),
            tf.reduce_sum(cross_entropy),
            tf.reduce_sum(tf.cast(correct, tf.float32)),
        ]
    )
    error = tf.cast(error, x.dtype)
    x_gradient = tf.cast(tf.matmul(error, table), tf.float32) + smoothing * away_from_mean
    return totals, tf.cast(x_gradient, x.dtype), tf.matmul(error, x, transpose_a=True)


def _smoothing_table_gradient(states: tf.Tensor, table: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """(onehot - 1/V)^T x over all tokens: [V, D] in float32."""
    wide = tf.cast(states, tf.float32)
    vocabulary_size = tf.shape(table)[0]
    of_labels = tf.math.unsorted_segment_sum(wide, labels, vocabulary_size)
    return of_labels - tf.reduce_sum(wide, axis=0) / tf.cast(vocabulary_size, tf.float32)
