"""Adam with the paper's constants, one fused kernel a weight. Vaswani et al. 2017, section 5.3; Kingma & Ba 2015."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from app.config import TrainingConfig
from app.training.schedule import CosineSchedule, NoamSchedule

BETA_1, BETA_2, EPSILON = 0.9, 0.98, 1e-9  # section 5.3


def adam(settings: TrainingConfig, model_width: int) -> keras.optimizers.Optimizer:
    """The optimizer of a run; under mixed_float16 inside Keras' dynamic loss scaling."""
    schedule: keras.optimizers.schedules.LearningRateSchedule
    if settings.schedule == "noam":
        schedule = NoamSchedule(model_width, settings.warmup_steps, settings.learning_rate)
    else:
        schedule = CosineSchedule(settings.learning_rate, settings.warmup_steps, settings.steps)
    optimizer = FusedAdam(schedule, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    if settings.precision == "mixed_float16":
        return keras.optimizers.LossScaleOptimizer(optimizer)
    return optimizer


@keras.saving.register_keras_serializable(package="nmt")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam for gradients that are already summed over the replicas, updated by TensorFlow's own kernel.

    The train step sums gradients itself, since it reports their norm; and one kernel instead of a dozen ops a
    weight saves a tenth of a small model's step.
    """

    def _backend_update_step(
        self, grads: Sequence[tf.Tensor], trainable_variables: Sequence[Any], learning_rate: tf.Tensor
    ) -> None:
        values = [v.value if isinstance(v, keras.Variable) else v for v in trainable_variables]
        tf.__internal__.distribute.interim.maybe_merge_call(
            self._distributed_tf_update_step,
            self._distribution_strategy,
            list(zip(grads, values, strict=True)),
            learning_rate,
        )

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Moves one weight and its two moments."""
        index = self._get_variable_index(variable)
        step = tf.cast(self.iterations + 1, tf.float32)
        tf.raw_ops.ResourceApplyAdam(
            var=_handle(variable),
            m=_handle(self._momentums[index]),
            v=_handle(self._velocities[index]),
            beta1_power=self.beta_1**step,
            beta2_power=self.beta_2**step,
            lr=tf.cast(learning_rate, tf.float32),
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
            grad=tf.convert_to_tensor(gradient),
        )


def _handle(variable: Any) -> tf.Tensor:
    """The resource of a Keras variable, a TensorFlow variable or a replica's copy."""
    return (variable.value if isinstance(variable, keras.Variable) else variable).handle
