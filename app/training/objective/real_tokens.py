"""Selects the real target tokens of a batch, on which the objective is computed."""

import tensorflow as tf

from keras_nmt.app.training.objective.copying import TokenCopies
from keras_nmt.layers.losses import token_weights
from keras_nmt.layers.stack import Outputs
from keras_nmt.pipelines.vocabulary.tokenizer import PAD


def real_tokens(
    outputs: Outputs, labels: tf.Tensor, loss_weights: tf.Tensor | None, *, passes: int = 1, padded: bool = False
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None, TokenCopies | tuple[()]]:
    """Selects the N real target tokens of a batch.

    Args:
        outputs: The model's outputs of P passes, with P B rows.
        labels: The labels, int32 [B, T].
        loss_weights: The loss weights of the rows, float32 [B], or of the tokens, float32 [B, T]; or None.
        passes: The number of passes, P.
        padded: True to select all N = B T positions, with padding: XLA cannot gather a number of tokens that is unknown
            at compile time.

    Returns:
        The states [N, P, D], the labels [N], the weights [N] or None, and what may be copied.
    """
    loss_weights = None if loss_weights is None else token_weights(labels, loss_weights)
    real = None if padded else tf.where(labels != PAD)  # [N, 2]

    def selected(values: tf.Tensor) -> tf.Tensor:  # [B, T, ...] -> [N, ...]
        if real is None:
            return tf.reshape(values, [-1, *tf.unstack(tf.shape(values))[2:]])
        return tf.gather_nd(values, real)

    def of_passes(values: tf.Tensor) -> tf.Tensor:  # [P B, T, ...] -> [N, P, ...]
        return tf.stack([selected(part) for part in tf.split(values, passes)], axis=1)

    copies: TokenCopies | tuple[()] = ()
    if outputs.copies:
        log_gate, log_copied, source = outputs.copies
        own = tf.repeat(source[: tf.shape(labels)[0], tf.newaxis], tf.shape(labels)[1], axis=1)  # [B, T, S]
        copies = TokenCopies(of_passes(log_gate), of_passes(log_copied), selected(own))
    weights = None if loss_weights is None else selected(loss_weights)
    return of_passes(outputs.states), selected(labels), weights, copies
