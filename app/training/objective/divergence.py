"""The divergence between the two predictions of R-Drop (Liang et al. 2021)."""

import tensorflow as tf


def symmetric_divergence(log_probabilities: tf.Tensor, probabilities: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes KL(p||q) + KL(q||p) of each token, [n], and its gradient with respect to the logits, [2n, V].

    The rows of p and q alternate in the arguments and in the gradient. With a = log p - log q, the gradient with
    respect to p's logits is p (a - KL(p||q)) + p - q. For q's logits, exchange p and q in this formula.
    """
    pairs = [-1, 2, probabilities.shape[-1]]
    log_p, log_q = tf.unstack(tf.reshape(log_probabilities, pairs), axis=1)  # [n, V] each
    p, q = tf.unstack(tf.reshape(probabilities, pairs), axis=1)
    a = log_p - log_q
    p_from_q = tf.reduce_sum(p * a, axis=-1, keepdims=True)
    q_from_p = -tf.reduce_sum(q * a, axis=-1, keepdims=True)
    gradient = tf.stack([p * (a - p_from_q + 1.0) - q, q * (1.0 - a - q_from_p) - p], axis=1)
    return (p_from_q + q_from_p)[:, 0], tf.reshape(gradient, tf.shape(probabilities))
