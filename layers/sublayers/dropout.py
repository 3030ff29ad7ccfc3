"""Dropout whose masks are cheap. Srivastava et al. 2014; Vaswani et al. 2017, section 5.4."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

LEVELS = 256  # values of the byte that decides

_shift: ContextVar[keras.KerasTensor | int] = ContextVar("shift of dropout seeds", default=0)


@contextmanager
def shifted_seeds(shift: keras.KerasTensor | int) -> Iterator[None]:
    """Within it, every dropout draws other masks than under another `shift`, an int32 scalar.

    For copies of a model that hold equal seeds and shall not drop the same values of their batches.
    """
    token = _shift.set(shift)
    try:
        yield
    finally:
        _shift.reset(token)


class ShiftedSeeds(keras.random.SeedGenerator):
    """Keras' seeds, plus the shift in force."""

    def next(self, ordered: bool = True) -> keras.KerasTensor:
        """The next seed, an integer [2]."""
        seed = super().next(ordered=ordered)
        return seed + keras.ops.cast(keras.ops.stack([_shift.get(), 0]), seed.dtype)


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
            self.seeds = ShiftedSeeds(seed)

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
