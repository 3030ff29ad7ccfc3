"""The position-wise feed-forward network. Vaswani et al. 2017, section 3.3, Eq. 2."""

from typing import Any

import keras

from keras_nmt.layers.config import Activation
from keras_nmt.layers.sublayers.dropout import Dropout


@keras.saving.register_keras_serializable(package="nmt")
class FeedForward(keras.layers.Layer):
    """FFN(x) = max(0, x W1 + b1) W2 + b2 at every position.

    `activation="swish"` replaces max(0, x) with x * sigmoid(x).
    """

    def __init__(self, inner_width: int, dropout: float = 0.0, activation: Activation = "relu", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.inner_width = inner_width
        self.dropout = dropout
        self.activation = activation
        self.drop = Dropout(dropout, name="drop", dtype=self.dtype_policy)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates both projections for inputs [..., D]."""
        width = input_shape[-1]
        self.inner = keras.layers.Dense(
            self.inner_width, activation=self.activation, name="inner", dtype=self.dtype_policy
        )
        self.outer = keras.layers.Dense(width, name="outer", dtype=self.dtype_policy)
        self.inner.build((None, width))
        self.outer.build((None, self.inner_width))

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Computes FFN(x): [..., D] -> [..., D]."""
        rows = self.outer(self.drop(self._inner_rows(x), training=training))
        return keras.ops.reshape(rows, (-1, *keras.ops.shape(x)[1:]))

    def inner_units(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the inner units after the activation, F of them: [B, T, D] -> [B, T, F]."""
        return keras.ops.reshape(self._inner_rows(x), (-1, *keras.ops.shape(x)[1:-1], self.inner_width))

    def _inner_rows(self, x: keras.KerasTensor) -> keras.KerasTensor:
        # TensorFlow fuses bias and activation into a 2-D matrix product.
        return self.inner(keras.ops.reshape(x, (-1, x.shape[-1])))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "inner_width": self.inner_width,
            "dropout": self.dropout,
            "activation": self.activation,
        }
