"""Builds the optimizer that a configuration describes."""

from typing import Any

import keras

from keras_nmt.app.config import TrainingConfig
from keras_nmt.app.training.optimization.adam import BETA_1, BETA_2, EPSILON, FusedAdam
from keras_nmt.app.training.optimization.muon import Muon
from keras_nmt.layers.schedules import CosineSchedule, InverseSquareRootSchedule, NoamSchedule


def optimizer_of(settings: TrainingConfig, model_width: int) -> FusedAdam:
    """Returns the optimizer with its learning-rate schedule."""
    schedule = schedule_of(settings, model_width)
    options: dict[str, Any] = {
        "beta_1": BETA_1,
        "beta_2": BETA_2,
        "epsilon": EPSILON,
        "weight_decay": settings.weight_decay or None,
        "global_clipnorm": settings.clip_norm or None,
        "use_ema": settings.ema_decay > 0,
        "ema_momentum": settings.ema_decay,
        "dynamic_loss_scale": settings.precision == "mixed_float16",
    }
    if settings.optimizer == "muon":
        products = "bfloat16" if settings.precision == "mixed_bfloat16" else "float32"
        return Muon(schedule, product_dtype=products, **options)
    return FusedAdam(schedule, **options)


def schedule_of(settings: TrainingConfig, model_width: int) -> keras.optimizers.schedules.LearningRateSchedule:
    """Returns the learning-rate schedule. The Noam schedule depends on `model_width`."""
    if settings.schedule == "noam":
        return NoamSchedule(model_width, settings.warmup_steps, settings.learning_rate)
    if settings.schedule == "inverse_sqrt":
        return InverseSquareRootSchedule(settings.learning_rate, settings.warmup_steps)
    return CosineSchedule(settings.learning_rate, settings.warmup_steps, settings.steps)
