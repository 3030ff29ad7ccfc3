"""Learning-rate schedules. Vaswani et al. 2017, section 5.3, Eq. 3."""

import math
from typing import Any

import keras


@keras.saving.register_keras_serializable(package="nmt")
class NoamSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup, then inverse square root decay.

    The learning rate is scale * model_width^-0.5 * min(step^-0.5, step * warmup_steps^-1.5), where `step` counts from
    1.
    """

    def __init__(self, model_width: int, warmup_steps: int, scale: float = 1.0) -> None:
        self.model_width = model_width
        self.warmup_steps = warmup_steps
        self.scale = scale

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of update `step`, which counts from 0. (In the formula, `step` counts from 1.)"""
        number = keras.ops.cast(step, "float32") + 1.0
        rise = number * self.warmup_steps**-1.5
        return self.scale * self.model_width**-0.5 * keras.ops.minimum(keras.ops.rsqrt(number), rise)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"model_width": self.model_width, "warmup_steps": self.warmup_steps, "scale": self.scale}


@keras.saving.register_keras_serializable(package="nmt")
class InverseSquareRootSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup to `peak`, then inverse square root decay: peak * (warmup_steps / step)^0.5.

    Like `NoamSchedule`, but with the highest learning rate as an argument.
    """

    def __init__(self, peak: float, warmup_steps: int) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of update `step`, which counts from 0."""
        number = keras.ops.cast(step, "float32") + 1.0
        return self.peak * keras.ops.minimum(number / self.warmup_steps, keras.ops.sqrt(self.warmup_steps / number))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps}


@keras.saving.register_keras_serializable(package="nmt")
class CosineSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warmup to `peak`, then cosine decay, which reaches 0 at update `steps` (Loshchilov & Hutter 2017).

    Use this schedule for a short training run of known length. In such a run, the small learning rates of the last
    updates improve BLEU by several points.
    """

    def __init__(self, peak: float, warmup_steps: int, steps: int) -> None:
        self.peak = peak
        self.warmup_steps = warmup_steps
        self.steps = steps

    def __call__(self, step: Any) -> Any:
        """Returns the learning rate of update `step`, which counts from 0."""
        number = keras.ops.cast(step, "float32") + 1.0
        rise = number / self.warmup_steps
        progress = (number - self.warmup_steps) / max(1, self.steps - self.warmup_steps)
        fall = 0.5 * (1.0 + keras.ops.cos(math.pi * keras.ops.clip(progress, 0.0, 1.0)))
        return self.peak * keras.ops.minimum(rise, fall)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {"peak": self.peak, "warmup_steps": self.warmup_steps, "steps": self.steps}
