"""Metrics that ignore padding, for Keras' `compile` and `fit`."""

from typing import Any

import keras

from keras_nmt.layers.losses import token_losses, token_weights


class _TokenMean(keras.metrics.Mean):
    """Mean of a value over the real target tokens of all batches."""

    def token_values(self, labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the value of each token, float32 [B, T], from labels [B, T] and logits [B, T, V]."""
        raise NotImplementedError

    def update_state(
        self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor, sample_weight: keras.KerasTensor | None = None
    ) -> Any:
        """Adds a batch to the mean.

        Args:
            y_true: Labels, int32 [B, T]. Padding is ignored.
            y_pred: Logits [B, T, V].
            sample_weight: Weights of the rows [B] or of the tokens [B, T]. None gives every real token weight 1.
        """
        return super().update_state(self.token_values(y_true, y_pred), token_weights(y_true, sample_weight))


@keras.saving.register_keras_serializable(package="nmt")
class TokenAccuracy(_TokenMean):
    """Share of the real target tokens that the model predicts correctly."""

    def __init__(self, name: str = "token_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def token_values(self, labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Returns 1 where the label has the highest logit, else 0: float32 [B, T]."""
        predicted = keras.ops.argmax(logits, axis=-1)
        is_correct = keras.ops.equal(keras.ops.cast(predicted, "int32"), keras.ops.cast(labels, "int32"))
        return keras.ops.cast(is_correct, "float32")


@keras.saving.register_keras_serializable(package="nmt")
class Perplexity(_TokenMean):
    """Exponential of the mean cross entropy of the real target tokens, without label smoothing."""

    def __init__(self, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def token_values(self, labels: keras.KerasTensor, logits: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the cross entropy of each token in nats: float32 [B, T]."""
        return token_losses(labels, logits)

    def result(self) -> keras.KerasTensor:
        """Returns the perplexity over all batches since the last reset, a scalar."""
        return keras.ops.exp(super().result())
