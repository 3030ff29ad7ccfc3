"""What encoder and decoder share: layers made from one configuration, stacked. Vaswani et al. 2017, section 3.1."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import keras

from layers.config import TransformerConfig
from layers.sublayers.residual import Residual, layer_normalization


class ConfiguredLayer(keras.layers.Layer):
    """A layer whose one hyperparameter is the configuration, given as such or as a saved dictionary."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = TransformerConfig(**config) if isinstance(config, dict) else config

    def residual(self, name: str) -> Residual:
        """The residual connection around the sublayer of that name."""
        return Residual(
            self.config.normalization,
            self.config.residual_dropout,
            self.config.normalization_epsilon,
            name=f"{name}_residual",
            dtype=self.dtype_policy,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; the configuration as a dictionary."""
        return {**super().get_config(), "config": asdict(self.config)}


class Stack(ConfiguredLayer):
    """Equal layers one on another, and a final normalisation where each normalises its input."""

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
        """Makes the weights for inputs [B, T, D]."""
        for layer in (*self.blocks, *([self.final_norm] if self.final_norm else [])):
            layer.build(input_shape)

    def finish(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """The stack's output [B, T, D], normalised where the layers do not do so themselves."""
        return self.final_norm(x) if self.final_norm else x
