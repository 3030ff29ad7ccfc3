"""The part of the training objective that belongs to models that copy (See, Liu and Manning 2017).

The log-probability of token v is log g + log p_vocabulary(v), and if v is in the source, plus a gain: softplus(log c(v)
- log g - log p_vocabulary(v)); see `layers.sublayers.copying`. So the loss is that of a model without copying, minus
log g, minus the weighted sum of the gains over the S tokens of the source. No second tensor of all pieces is needed.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf


class TokenCopies(NamedTuple):
    """What may be copied at N target positions, with P passes of the decoder: `layers.sublayers.copying.Copies`."""

    log_gate: tf.Tensor  # float32 [N, P]
    log_copied: tf.Tensor  # float32 [N, P, S]
    source: tf.Tensor  # int32 [N, S]


class CopyTerms(NamedTuple):
    """The terms that copying adds for m rows: the P passes of each of n target positions are adjacent rows."""

    log_gate: tf.Tensor  # float32 [m]
    source: tf.Tensor  # int32 [m, S]
    log_probabilities: tf.Tensor  # float32 [m, S], of the source tokens; of repeated ones without the gain
    gains: tf.Tensor  # float32 [m, S], what copying adds to the log-probabilities; 0 for repeated tokens
    shares: tf.Tensor  # float32 [m, S], the part of a token's probability that is copied, and d gain / d log_copied

    def of_labels(self, labels: tf.Tensor, log_generated: tf.Tensor) -> tf.Tensor:
        """Returns the log-probability of each label, float32 [m].

        Args:
            labels: int32 [m].
            log_generated: float32 [m], the log-probability of each label under p_vocabulary.
        """
        is_label = self.source == labels[:, tf.newaxis]
        copied = tf.reduce_max(tf.where(is_label, self.log_probabilities, -np.inf), axis=1)
        return tf.maximum(self.log_gate + log_generated, copied)

    def largest(self, log_generated: tf.Tensor) -> tf.Tensor:
        """Returns the largest log-probability of each row, given the largest under p_vocabulary; both float32 [m]."""
        return tf.maximum(self.log_gate + log_generated, tf.reduce_max(self.log_probabilities, axis=1))

    def loss_weights(self, labels: tf.Tensor, smoothing: float, pieces: int) -> tf.Tensor:
        """Returns the factors of the gains in the label-smoothed loss: float32 [m, S]."""
        is_label = tf.cast(self.source == labels[:, tf.newaxis], tf.float32)
        return (1.0 - smoothing) * is_label + smoothing / pieces


def copy_terms(copies: TokenCopies, logits: tf.Tensor, logsumexp: tf.Tensor) -> CopyTerms:
    """Computes the terms of copying for m = n P rows.

    Args:
        copies: What may be copied at n target positions.
        logits: float32 [m, V].
        logsumexp: float32 [m], of the logits.
    """
    log_gate = tf.reshape(copies.log_gate, [-1])
    length = tf.shape(copies.source)[1]
    log_copied = tf.reshape(copies.log_copied, [-1, length])
    source = tf.repeat(copies.source, copies.log_gate.shape[1], axis=0)
    normalizer = (log_gate - logsumexp)[:, tf.newaxis]
    log_generated = normalizer + tf.gather(logits, source, batch_dims=1)
    excess = log_copied - log_generated
    gains = tf.nn.softplus(excess)
    return CopyTerms(log_gate, source, log_generated + gains, gains, tf.sigmoid(excess))


def copying_error(terms: CopyTerms, error: tf.Tensor, probabilities: tf.Tensor, pulled: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of the loss with respect to the logits, float32 [m, V], from that without copying.

    The gain of a token falls if the model generates it with a larger probability.

    Args:
        terms: The terms of copying.
        error: float32 [m, V], the gradient without copying.
        probabilities: float32 [m, V], p_vocabulary.
        pulled: float32 [m, S], the loss weights times the shares.
    """
    rows = tf.broadcast_to(tf.range(tf.shape(terms.source)[0])[:, tf.newaxis], tf.shape(terms.source))
    places = tf.stack([rows, terms.source], axis=2)  # [m, S, 2]
    error -= probabilities * tf.reduce_sum(pulled, axis=1, keepdims=True)
    return tf.tensor_scatter_nd_add(error, places, pulled)


def copy_gradients(copies: TokenCopies, pulled: tf.Tensor, weights: tf.Tensor) -> list[tf.Tensor]:
    """Returns the gradients of the loss with respect to `copies.log_gate` and `copies.log_copied`.

    Args:
        copies: What may be copied at n target positions.
        pulled: float32 [m, S], the loss weights times the shares.
        weights: float32 [m], the factor of each row in the loss.
    """
    of_gate = weights * (tf.reduce_sum(pulled, axis=1) - 1.0)
    of_copied = -weights[:, tf.newaxis] * pulled
    return [tf.reshape(of_gate, tf.shape(copies.log_gate)), tf.reshape(of_copied, tf.shape(copies.log_copied))]
