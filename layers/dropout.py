"""Dropout whose masks are cheap. Srivastava et al. 2014; Vaswani et al. 2017, section 5.4."""

from typing import Any

import keras

LEVELS = 256  # values of the byte that decides


@keras.saving.register_keras_serializable(package="nmt")
class Dropout(keras.layers.Layer):
    """Zeroes a share `rate` of its input in training and scales the rest up, so that the mean stays.

    One random byte decides over one value, where `keras.layers.Dropout` draws a float: on a CPU that is three times
    as fast, and the masks are otherwise a sixth of a small model's step. So the rate is rounded to a multiple of
    1/256 (0.1 becomes 26/256), and the scale is that of the rounded rate.
    """

    def __init__(self, rate: float, seed: int | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.seed = seed
        self.dropped_levels = min(round(rate * LEVELS), LEVELS - 1)
        if self.dropped_levels:
            self.seeds = keras.random.SeedGenerator(seed)

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Has no weights."""

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """The same shape and dtype as x; x itself unless training."""
        if not training or not self.dropped_levels:
            return x
        scale = LEVELS / (LEVELS - self.dropped_levels)
        return x * (keras.ops.cast(self.kept(keras.ops.shape(x)), x.dtype) * scale)

    def kept(self, shape: tuple[Any, ...]) -> keras.KerasTensor:
        """bool of that shape, True where a value is kept."""
        size = 1
        for axis in shape:
            size = size * axis
        words = keras.random.randint(((size + 3) // 4, 1), -(2**31), 2**31 - 1, dtype="int32", seed=self.seeds)
        levels = keras.ops.reshape(keras.ops.view(words, "uint8"), (-1,))  # four bytes a word
        return keras.ops.reshape(levels[:size] >= self.dropped_levels, shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "rate": self.rate, "seed": self.seed}
