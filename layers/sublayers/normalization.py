"""Layer normalisation with a hand-written gradient. Ba et al. 2016; Vaswani et al. 2017, section 3.1."""

from typing import Any

import keras


@keras.saving.register_keras_serializable(package="nmt")
class LayerNormalization(keras.layers.LayerNormalization):
    """gamma * (x - mean) / sqrt(variance + epsilon) + beta over the last axis, in float32.

    The statistics are computed in float32 under every precision policy. The layer differs from Keras' layer only in its
    gradient, which computes every sum as a matrix product. On a CPU, the forward and the backward pass together take
    about three quarters of the time that they would take with automatic differentiation.
    """

    def call(self, x: keras.KerasTensor, training: bool | None = None) -> keras.KerasTensor:
        """Normalises x [..., D]. The result has the shape and dtype of x.

        The hand-written gradient is used only if `training` is true.
        """
        gamma, beta = (keras.ops.cast(weight, "float32") for weight in (self.gamma, self.beta))
        if training:
            return self._with_gradient(x, gamma, beta)
        normal, _ = self._standardized(x)
        return keras.ops.cast(normal * gamma + beta, x.dtype)

    def _standardized(self, x: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Returns x [..., D] with mean 0 and variance 1, and 1 / (standard deviation of x) [..., 1], in float32."""
        x = keras.ops.cast(x, "float32")
        centered = x - keras.ops.mean(x, axis=-1, keepdims=True)
        scale = keras.ops.rsqrt(keras.ops.mean(keras.ops.square(centered), axis=-1, keepdims=True) + self.epsilon)
        return centered * scale, scale

    def _with_gradient(
        self, x: keras.KerasTensor, gamma: keras.KerasTensor, beta: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Normalises x [..., D] with gamma and beta [D]. The gradients of x, gamma and beta are written by hand."""
        ops, dtype, width = keras.ops, x.dtype, x.shape[-1]

        @keras.ops.custom_gradient
        def normalize(
            x: keras.KerasTensor, gamma: keras.KerasTensor, beta: keras.KerasTensor
        ) -> tuple[keras.KerasTensor, Any]:
            normal, scale = self._standardized(x)

            def gradient(*upstreams: keras.KerasTensor, upstream: keras.KerasTensor = None) -> tuple[Any, ...]:
                # With u = upstream and h = gamma u: dx = scale (h - mean(h) - normal mean(h normal)).
                upstream = ops.cast(upstreams[0] if upstream is None else upstream, "float32")
                u, normal_rows = ops.reshape(upstream, (-1, width)), ops.reshape(normal, (-1, width))
                u_normal = u * normal_rows
                to_mean = ops.reshape(gamma, (width, 1)) / width  # u @ to_mean = mean(h)
                means = ops.matmul(u, to_mean) + normal_rows * ops.matmul(u_normal, to_mean)
                dx = ops.reshape(scale, (-1, 1)) * (u * gamma - means)
                ones = ops.ones((1, ops.shape(u)[0]), "float32")
                dgamma, dbeta = (ops.reshape(ops.matmul(ones, rows), (width,)) for rows in (u_normal, u))
                return ops.cast(ops.reshape(dx, ops.shape(upstream)), dtype), dgamma, dbeta

            return ops.cast(normal * gamma + beta, dtype), gradient

        return normalize(x, gamma, beta)
