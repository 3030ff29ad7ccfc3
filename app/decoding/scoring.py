"""The probability that a model gives to translations that are there already, in the graph."""

from collections.abc import Callable

import tensorflow as tf

from pipelines.vocabulary import BOS, PAD

LOGITS_AT_ONCE = 2**26  # float32: 256 MB


def token_log_probabilities(
    logits_of: Callable[[tf.RaggedTensor, tf.Tensor], tf.Tensor],
    source: tf.RaggedTensor,
    labels: tf.Tensor,
    *,
    vocabulary_size: int,
) -> tf.Tensor:
    """The log-probability of each token of given translations, after the right ones before it.

    Args:
        logits_of: (source [n, (S)], target [n, T], the labels behind BOS) -> a transformer's logits [n, T, V].
        source: int32 [N, (S)].
        labels: int32 [N, T], EOS included, then PAD.
        vocabulary_size: V.

    Returns:
        float32 [N, T], 0 at PAD; the sums of the rows are what `beam_search` gives the same tokens.
    """
    rows, longest = tf.unstack(tf.shape(labels))
    rows_at_once = tf.maximum(1, LOGITS_AT_ONCE // vocabulary_size // tf.maximum(1, longest))

    def score_some(first: tf.Tensor, done: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        wanted = labels[first : first + rows_at_once]
        target = tf.pad(wanted[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        logits = logits_of(source[first : first + rows_at_once], target)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, tf.cast(logits, tf.float32))
        return first + rows_at_once, tf.concat([done, tf.where(wanted == PAD, 0.0, -losses)], axis=0)

    _, by_token = tf.while_loop(
        lambda first, _: first < rows,
        score_some,
        (tf.constant(0), tf.zeros([0, longest])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
    )
    return by_token
