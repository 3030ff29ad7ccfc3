"""The scores of the next tokens of a beam search, and the extensions that it chooses among."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.search.top_k import TopK

SMALLEST = 1.2e-38  # about the smallest normal float32; a lower bound for the probability of the best allowed token


class Scored(NamedTuple):
    """The model's scores of the next token of each beam."""

    logits: tf.Tensor  # float32 [B * K, V]
    normalizers: tf.Tensor  # float32 [B * K, 1]; logit - normalizer is the log-probability
    best: TopK  # the best logits of the allowed tokens, [B * K, C]

    def log_probabilities(self, tokens: tf.Tensor) -> tf.Tensor:
        """Returns the log-probabilities of `tokens`, int32 [B * K, n]."""
        return tf.gather(self.logits, tokens, batch_dims=1) - self.normalizers


class Candidates(NamedTuple):
    """The C best extensions of the live beams of each sentence: beams with one more token. Every field is [B, C]."""

    log_probabilities: tf.Tensor  # of the whole extended hypotheses
    beams: tf.Tensor  # the beam that is extended, 0 … K - 1
    tokens: tf.Tensor  # the new token


def log_normalizers(logits: tf.Tensor, best: TopK) -> tf.Tensor:
    """Computes log(sum(exp(logits))) of each row, [N, 1], with softmax. This is one pass; logsumexp needs four.

    Args:
        logits: float32 [N, V].
        best: The best of the logits, [N, C].
    """
    probability = tf.gather(tf.nn.softmax(logits), best.indices[:, :1], batch_dims=1)
    return best.values[:, :1] - tf.math.log(tf.maximum(probability, SMALLEST))


def exact_log_normalizers(logits: tf.Tensor) -> tf.Tensor:
    """Computes log(sum(exp(logits))) of each row of `logits`, float32 [N, V]: [N, 1]."""
    largest, probability = (tf.reduce_max(values, 1, keepdims=True) for values in (logits, tf.nn.softmax(logits)))
    return largest - tf.math.log(probability)
