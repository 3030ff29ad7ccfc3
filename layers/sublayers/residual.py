"""The residual connection and the layer normalisation around every sublayer. Vaswani et al. 2017, section 3.1."""

from collections.abc import Callable
from typing import Any

import keras

from layers.config import EPSILON, Normalization
from layers.sublayers.dropout import Dropout
from layers.sublayers.normalization import LayerNormalization


def layer_normalization(name: str, epsilon: float, dtype: Any) -> LayerNormalization:
    """Layer normalisation over the last axis."""
    return LayerNormalization(epsilon=epsilon, name=name, dtype=dtype)


@keras.saving.register_keras_serializable(package="nmt")
class Residual(keras.layers.Layer):
    """Wraps a sublayer: LayerNorm(x + Dropout(Sublayer(x))), as in the paper.

    With `normalization="pre"` it is x + Dropout(Sublayer(LayerNorm(x))); the stack then normalises its output.
    """

    def __init__(
        self, normalization: Normalization = "post", dropout: float = 0.0, epsilon: float = EPSILON, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.normalization = normalization
        self.dropout = dropout
        self.epsilon = epsilon
        self.drop = Dropout(dropout, name="drop", dtype=self.dtype_policy)
        self.norm = layer_normalization("norm", epsilon, self.dtype_policy)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Makes the normalisation's scale and offset for inputs [..., D]."""
        self.norm.build(input_shape)

    def call(
        self,
        x: keras.KerasTensor,
        sublayer: Callable[[keras.KerasTensor], keras.KerasTensor],
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """[B, T, D] -> [B, T, D]; `sublayer` keeps the shape."""
        total = x + self.drop(sublayer(self.sublayer_input(x)), training=training)
        return total if self.normalization == "pre" else self.norm(total)

    def sublayer_input(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """What `call` gives to the sublayer for x [B, T, D]."""
        return self.norm(x) if self.normalization == "pre" else x

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "normalization": self.normalization,
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }
