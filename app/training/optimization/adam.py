"""Adam with one fused kernel for each weight. Vaswani et al. 2017, section 5.3; Kingma & Ba 2015."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import keras
import tensorflow as tf

BETA_1, BETA_2, EPSILON = 0.9, 0.98, 1e-9  # section 5.3
FIRST_LOSS_SCALE, LOSS_SCALE_GROWTH_STEPS = 2.0**15, 2000  # Micikevicius et al. 2018

# A gradient, its weight, and the weight's first and second moments.
WeightState = tuple[tf.Tensor, keras.Variable, keras.Variable, keras.Variable]


class Update(NamedTuple):
    """The result of an update step.

    Attributes:
        gradient_norm: The norm of all gradients before clipping and without the loss scale, float32.
        applied: True if the weights were updated; False if a gradient was not finite.
    """

    gradient_norm: tf.Tensor
    applied: tf.Tensor


@keras.saving.register_keras_serializable(package="nmt")
class FusedAdam(keras.optimizers.Adam):
    """Keras' Adam for gradients that are already summed over the replicas, with TensorFlow's fused kernel.

    All replicas have the same summed gradients, so each replica updates its own copy of the weights. The whole update
    can therefore be inside a `tf.cond`, which skips the update if a gradient is not finite. For each weight, one kernel
    replaces a dozen ops. This makes the step of a small model a tenth shorter.

    `weight_decay` is decoupled, as in `keras.optimizers.AdamW`, and decays only matrices.

    Args:
        args: The positional arguments of `keras.optimizers.Adam`.
        dynamic_loss_scale: True to multiply the loss, and thus the gradients, by a loss scale, which float16 needs. The
            scale is halved when a gradient overflows, and doubled after 2,000 steps without an overflow.
        kwargs: The keyword arguments of `keras.optimizers.Adam`.
    """

    def __init__(self, *args: Any, dynamic_loss_scale: bool = False, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dynamic_loss_scale = dynamic_loss_scale

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Creates the moments, the rate factor and, if used, the averages of the weights and the loss scale."""
        if self.built:
            return
        self._build_moments(variables)
        self.rate_factor = self._scalar("rate_factor", 1.0)
        if self.dynamic_loss_scale:
            self.loss_scale = self._scalar("loss_scale", FIRST_LOSS_SCALE)
            self.finite_steps = self._scalar("finite_steps", 0.0)

    def _build_moments(self, variables: Sequence[keras.Variable]) -> None:
        super().build(variables)

    def _scalar(self, name: str, value: float) -> keras.Variable:
        return self.add_variable((), initializer=keras.initializers.Constant(value), dtype="float32", name=name)

    @property
    def averages(self) -> list[keras.Variable]:
        """The moving averages of the weights, in the order of the weights; empty unless `use_ema` is True."""
        return list(self._model_variables_moving_average) if self.use_ema else []

    @property
    def gradient_averages(self) -> list[keras.Variable]:
        """The moving averages of the gradients (first moments), in the order of the weights."""
        return list(self._momentums)

    def scaled_rate(self) -> tf.Tensor:
        """Returns the learning rate of the next update, float32: the schedule's rate times `rate_factor`."""
        return tf.cast(self.learning_rate, tf.float32) * tf.convert_to_tensor(self.rate_factor)

    def scale_loss(self, loss: tf.Tensor) -> tf.Tensor:
        """Returns the loss to differentiate: `loss` times the loss scale, or just `loss` if there is no loss scale."""
        return loss * tf.convert_to_tensor(self.loss_scale) if self.dynamic_loss_scale else loss

    def apply_summed(self, gradients: Sequence[tf.Tensor], weights: Sequence[keras.Variable]) -> Update:
        """Updates the weights if the gradients are finite. Must be called in a replica's context or without a strategy.

        Args:
            gradients: The gradients d (scaled loss) / d weight, the same on every replica.
            weights: The variables with which the optimizer was built, in the same order.

        Returns:
            The norm of the gradients, and True if the weights were updated.
        """
        scale = tf.convert_to_tensor(self.loss_scale) if self.dynamic_loss_scale else tf.constant(1.0)
        norm = tf.linalg.global_norm(gradients) / scale
        finite = tf.math.is_finite(norm)
        if self.global_clipnorm:
            scale *= tf.maximum(1.0, norm / self.global_clipnorm)
        if self.global_clipnorm or self.dynamic_loss_scale:
            gradients = [gradient / scale for gradient in gradients]

        def update() -> tf.Tensor:
            self._update_variables(gradients, weights)
            return tf.constant(True)

        applied = tf.cond(finite, update, lambda: tf.constant(False))
        if self.dynamic_loss_scale:
            self._rescale(finite)
        return Update(norm, applied)

    def _update_variables(self, gradients: Sequence[tf.Tensor], weights: Sequence[keras.Variable]) -> None:
        step = tf.cast(tf.convert_to_tensor(self.iterations), tf.float32) + 1.0
        if self.weight_decay:
            self._decay(weights)
        self._update_weights(
            zip(gradients, weights, self._momentums, self._velocities, strict=True), self.scaled_rate(), step
        )
        # The decay is smaller at first. Otherwise the averages would stay close to the random initial weights.
        decay = tf.minimum(self.ema_momentum, step / (9.0 + step))
        for average, weight in zip(self.averages, weights, strict=bool(self.averages)):
            difference = tf.convert_to_tensor(average) - tf.convert_to_tensor(weight)
            tf.raw_ops.AssignSubVariableOp(resource=handle(average), value=(1.0 - decay) * difference)
        one = tf.ones([], tf.as_dtype(self.iterations.dtype))
        tf.raw_ops.AssignAddVariableOp(resource=handle(self.iterations), value=one)

    def _decay(self, weights: Sequence[keras.Variable]) -> None:
        """Shrinks the matrices towards 0 (Loshchilov & Hutter 2019); biases and gains of normalizations stay."""
        shrink = self.scaled_rate() * self.weight_decay
        for weight in weights:
            if len(weight.shape) > 1:
                tf.raw_ops.AssignSubVariableOp(resource=handle(weight), value=shrink * tf.convert_to_tensor(weight))

    def _update_weights(self, states: Iterable[WeightState], rate: tf.Tensor, step: tf.Tensor) -> None:
        beta1_power, beta2_power = self.beta_1**step, self.beta_2**step
        for gradient, weight, m, v in states:
            tf.raw_ops.ResourceApplyAdam(
                var=handle(weight),
                m=handle(m),
                v=handle(v),
                beta1_power=beta1_power,
                beta2_power=beta2_power,
                lr=rate,
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    def _rescale(self, finite: tf.Tensor) -> None:
        """Halves the loss scale after an overflow. Doubles the scale after 2,000 steps in a row without an overflow."""
        steps = tf.where(finite, tf.convert_to_tensor(self.finite_steps) + 1.0, 0.0)
        grow = steps >= LOSS_SCALE_GROWTH_STEPS
        factor = tf.where(finite, tf.where(grow, 2.0, 1.0), 0.5)
        scale = tf.convert_to_tensor(self.loss_scale) * factor
        tf.raw_ops.AssignVariableOp(resource=handle(self.loss_scale), value=scale)
        tf.raw_ops.AssignVariableOp(resource=handle(self.finite_steps), value=tf.where(grow, 0.0, steps))

    def finalize_variable_values(self, var_list: Any) -> None:
        """Does nothing. Keras' method would overwrite the weights with their averages at the end of `fit`."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "dynamic_loss_scale": self.dynamic_loss_scale}


def handle(variable: keras.Variable) -> tf.Tensor:
    """Returns the resource handle of a variable. In a replica's context, returns the handle of the replica's copy."""
    return variable.value.handle
