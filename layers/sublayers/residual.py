"""The residual connection and layer normalisation around each sublayer. Vaswani et al. 2017, section 3.1."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from keras_nmt.layers.config import EPSILON, Normalization
from keras_nmt.layers.sublayers.dropout import Dropout
from keras_nmt.layers.sublayers.normalization import LayerNormalization


def layer_normalization(name: str, epsilon: float, dtype: Any) -> LayerNormalization:
    """Returns a new layer that normalises over the last axis."""
    return LayerNormalization(epsilon=epsilon, name=name, dtype=dtype)


class ResidualSteps(NamedTuple):
    """The tensors of one sublayer and its residual connection, each [B, T, D]."""

    before: keras.KerasTensor  # x, before the sublayer
    read: keras.KerasTensor  # what the sublayer reads: x, or LayerNorm(x) if `normalization` is "pre"
    added: keras.KerasTensor  # what the sublayer adds to x
    after: keras.KerasTensor  # the result of the whole connection


@keras.saving.register_keras_serializable(package="nmt")
class Residual(keras.layers.Layer):
    """A residual connection around a sublayer: LayerNorm(x + Dropout(Sublayer(x))), as in the paper.

    With `normalization="pre"`, the layer computes x + Dropout(Sublayer(LayerNorm(x))) instead, and `Stack` normalises
    the output of the last layer of the stack.
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
        """Creates gamma and beta of the normalisation for inputs [..., D]."""
        self.norm.build(input_shape)

    def call(
        self,
        x: keras.KerasTensor,
        sublayer: Callable[[keras.KerasTensor], keras.KerasTensor],
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """Computes the sublayer and its residual connection: [B, T, D] -> [B, T, D]."""
        return self.steps(x, sublayer, training).after

    def steps(
        self,
        x: keras.KerasTensor,
        sublayer: Callable[[keras.KerasTensor], keras.KerasTensor],
        training: bool | None = None,
    ) -> ResidualSteps:
        """Computes what `call` computes; returns all its tensors."""
        read = self.sublayer_input(x)
        added = self.drop(sublayer(read), training=training)
        return ResidualSteps(x, read, added, x + added if self.normalization == "pre" else self.norm(x + added))

    def sublayer_input(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the tensor on which the sublayer is called: x [B, T, D], normalised if `normalization` is "pre"."""
        return self.norm(x) if self.normalization == "pre" else x

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {
            **super().get_config(),
            "normalization": self.normalization,
            "dropout": self.dropout,
            "epsilon": self.epsilon,
        }
