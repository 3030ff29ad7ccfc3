"""Metrics that ignore padding, for Keras' `compile` and `fit`."""

from typing import Any

import keras

from keras_nmt.layers.losses import token_losses, token_weights


@keras.saving.register_keras_serializable(package="nmt")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the real target tokens that the model predicts correctly."""

    def __init__(self, name: str = "token_accuracy", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(
        self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor, sample_weight: keras.KerasTensor | None = None
    ) -> Any:
        """Adds a batch to the mean.

        Args:
            y_true: Labels, int32 [B, T]. Padding is ignored.
            y_pred: Logits [B, T, V].
            sample_weight: Weights of the rows [B] or of the tokens [B, T]. None gives every real token weight 1.
        """
        predicted = keras.ops.argmax(y_pred, axis=-1)
        is_correct = keras.ops.equal(keras.ops.cast(predicted, "int32"), keras.ops.cast(y_true, "int32"))
        return super().update_state(keras.ops.cast(is_correct, "float32"), token_weights(y_true, sample_weight))


@keras.saving.register_keras_serializable(package="nmt")
class Perplexity(keras.metrics.Mean):
    """Exponential of the mean cross entropy of the real target tokens, without label smoothing."""

    def __init__(self, name: str = "perplexity", **kwargs: Any) -> None:
        super().__init__(name=name, **kwargs)

    def update_state(
        self, y_true: keras.KerasTensor, y_pred: keras.KerasTensor, sample_weight: keras.KerasTensor | None = None
    ) -> Any:
        """Adds a batch to the mean.

        Args:
            y_true: Labels, int32 [B, T]. Padding is ignored.
            y_pred: Logits [B, T, V].
            sample_weight: Weights of the rows [B] or of the tokens [B, T]. None gives every real token weight 1.
        """
        return super().update_state(token_losses(y_true, y_pred), token_weights(y_true, sample_weight))

    def result(self) -> keras.KerasTensor:
        """Returns the perplexity over all batches since the last reset, a scalar."""
        return keras.ops.exp(super().result())
