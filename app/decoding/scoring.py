"""The probability that a model gives to translations that are there already, in the graph."""

from typing import Any, NamedTuple

import tensorflow as tf

from app.decoding.beam_search import length_penalties
from pipelines.vocabulary import BOS, PAD

LOGITS_AT_ONCE = 2**26  # float32: 256 MB


class TokenScores(NamedTuple):
    """What a model gives to N translations of up to T tokens."""

    scores: tf.Tensor  # float32 [N], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [N]
    token_log_probabilities: tf.Tensor  # float32 [N, T], 0 at PAD


def score_tokens(
    transformer: Any,
    source: tf.Tensor,
    labels: tf.Tensor,
    *,
    vocabulary_size: int,
    length_penalty: float | tf.Tensor,
) -> TokenScores:
    """Scores translations token by token, each token after the right ones before it.

    Args:
        transformer: a `layers.transformer.Transformer`.
        source: int32 [N, S], EOS included, then PAD.
        labels: int32 [N, T], EOS included, then PAD.
        vocabulary_size: V, as wide as the transformer's logits.
        length_penalty: as in `beam_search`, which gives the same tokens the same scores.
    """
    rows, longest = tf.unstack(tf.shape(labels))
    rows_at_once = tf.maximum(1, LOGITS_AT_ONCE // vocabulary_size // tf.maximum(1, longest))

    def score_some(first: tf.Tensor, done: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        wanted = labels[first : first + rows_at_once]
        target = tf.pad(wanted[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        logits = transformer({"source": source[first : first + rows_at_once], "target": target}, training=False)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, tf.cast(logits, tf.float32))
        return first + rows_at_once, tf.concat([done, tf.where(wanted == PAD, 0.0, -losses)], axis=0)

    _, by_token = tf.while_loop(
        lambda first, _: first < rows,
        score_some,
        (tf.constant(0), tf.zeros([0, longest])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
    )
    log_probabilities = tf.reduce_sum(by_token, axis=1)
    lengths = tf.math.count_nonzero(labels != PAD, axis=1, dtype=tf.int32)
    return TokenScores(log_probabilities / length_penalties(lengths, length_penalty), log_probabilities, by_token)
