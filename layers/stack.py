"""Base classes for encoder and decoder: a layer that is made from a configuration, and a stack of such layers.

Vaswani et al. 2017, section 3.1.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import keras

from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.sublayers.residual import Residual, layer_normalization


class ConfiguredLayer(keras.layers.Layer):
    """A layer made from a `TransformerConfig`, or from its fields as a dictionary when Keras loads a saved model."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = TransformerConfig(**config) if isinstance(config, dict) else config

    def residual(self, name: str) -> Residual:
        """Returns the residual connection around the sublayer called `name`."""
        return Residual(
            self.config.normalization,
            self.config.residual_dropout,
            self.config.normalization_epsilon,
            name=f"{name}_residual",
            dtype=self.dtype_policy,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the configuration as a dictionary."""
        return {**super().get_config(), "config": asdict(self.config)}


class Stack(ConfiguredLayer):
    """A stack of `depth` layers made by `make_block`.

    If the configuration has `normalization="pre"`, the output of the last layer is normalised too.
    """

    def __init__(
        self,
        config: TransformerConfig | dict[str, Any],
        make_block: Callable[..., keras.layers.Layer],
        depth: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(config, **kwargs)
        self.blocks = [make_block(self.config, name=f"layer_{i}", dtype=self.dtype_policy) for i in range(depth)]
        pre, epsilon = self.config.normalization == "pre", self.config.normalization_epsilon
        self.final_norm = layer_normalization("final_norm", epsilon, self.dtype_policy) if pre else None

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for inputs [B, T, D]."""
        for layer in (*self.blocks, *([self.final_norm] if self.final_norm else [])):
            layer.build(input_shape)

    def finish(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the last layer's output `x` [B, T, D], normalised if `normalization` is "pre", else unchanged."""
        return self.final_norm(x) if self.final_norm else x
