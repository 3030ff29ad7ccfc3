"""Dropout with cheap random masks. Srivastava et al. 2014; Vaswani et al. 2017, section 5.4."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

LEVELS = 256  # number of values that a random byte can have

_shift: ContextVar[keras.KerasTensor | int] = ContextVar("shift of dropout seeds", default=0)


@contextmanager
def shifted_seeds(shift: keras.KerasTensor | int) -> Iterator[None]:
    """Adds `shift`, an int32 scalar, to the seeds of all dropout layers within the context.

    The replicas of a model hold equal seeds. With a different shift in each replica, the replicas draw different masks.
    """
    token = _shift.set(shift)
    try:
        yield
    finally:
        _shift.reset(token)


class ShiftedSeeds(keras.random.SeedGenerator):
    """A Keras seed generator that adds the shift of `shifted_seeds` to each seed."""

    def next(self, ordered: bool = True) -> keras.KerasTensor:
        """Returns the next seed, an integer tensor [2]. The shift is added to the first of the two numbers."""
        seed = super().next(ordered=ordered)
        return seed + keras.ops.cast(keras.ops.stack([_shift.get(), 0]), seed.dtype)


@keras.saving.register_keras_serializable(package="nmt")
class Dropout(keras.layers.Layer):
    """In training, sets a share `rate` of the input to 0 and scales the rest so that the mean does not change.

    A mask is drawn with one random byte for each value, while `keras.layers.Dropout` draws a random float. On a CPU,
    drawing bytes is three times as fast. With random floats, drawing the masks would take a sixth of the time of a
    small model's training step. The rate is rounded to a multiple of 1/256 (0.1 becomes 26/256), and the scale is
    computed from the rounded rate.
    """

    def __init__(self, rate: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.rate = rate
        self.dropped_levels = min(round(rate * LEVELS), LEVELS - 1)
        if self.dropped_levels:
            self.seeds = ShiftedSeeds()

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates no weights."""

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Returns x with dropout if `training` is true, else x unchanged."""
        if not training or not self.dropped_levels:
            return x
        scale = LEVELS / (LEVELS - self.dropped_levels)
        return x * (keras.ops.cast(self.kept(keras.ops.shape(x)), x.dtype) * scale)

    def kept(self, shape: tuple[Any, ...]) -> keras.KerasTensor:
        """Draws a mask: bool [*shape], True where a value is kept."""
        size = 1
        for axis in shape:
            size = size * axis
        words = keras.random.randint(((size + 3) // 4, 1), -(2**31), 2**31 - 1, dtype="int32", seed=self.seeds)
        levels = keras.ops.reshape(keras.ops.view(words, "uint8"), (-1,))  # each word has four random bytes
        return keras.ops.reshape(levels[:size] >= self.dropped_levels, shape)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "rate": self.rate}
