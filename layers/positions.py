"""Sinusoidal positions. Vaswani et al. 2017, section 3.5."""

import math
from typing import Any

import keras

LONGEST_WAVELENGTH = 10_000.0  # times 2 pi positions; from the paper


def sinusoids(positions: keras.KerasTensor, width: int) -> keras.KerasTensor:
    """Returns the encodings of positions [..., T]: float32 [..., T, D].

    PE(pos, 2i) = sin(pos / 10000^(2i/D)) and PE(pos, 2i+1) = cos(pos / 10000^(2i/D)), where D is `width`. The result
    is always float32. In bfloat16, a third of the first 600 positions would have the same encoding as the position
    before or after.
    """
    pairs = keras.ops.arange(width // 2, dtype="float32")
    rates = keras.ops.exp(pairs * (-2.0 * math.log(LONGEST_WAVELENGTH) / width))
    angles = keras.ops.cast(positions, "float32")[..., None] * rates  # [..., T, D/2]
    waves = keras.ops.stack([keras.ops.sin(angles), keras.ops.cos(angles)], axis=-1)  # [..., T, D/2, 2]
    return keras.ops.reshape(waves, (*keras.ops.shape(positions), width))


@keras.saving.register_keras_serializable(package="nmt")
class PositionalEncoding(keras.layers.Layer):
    """Adds positional encodings to embedded tokens. The layer has no weights."""

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Stores the width D of inputs [B, T, D]. Creates no weights."""
        self.width = input_shape[-1]

    def call(self, x: keras.KerasTensor, positions: keras.KerasTensor | None = None) -> keras.KerasTensor:
        """Returns x [B, T, D] plus the encodings of `positions`, [T] or [B, T] (default 0 … T - 1)."""
        if positions is None:
            positions = keras.ops.arange(keras.ops.shape(x)[1])
        return x + keras.ops.cast(sinusoids(positions, self.width), x.dtype)
