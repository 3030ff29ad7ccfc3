"""Muon: an update that turns the directions of a weight matrix equally far. Jordan et al. 2024.

Adam moves each number by itself. Of a weight matrix, the gradient is nearly of low rank, so a few directions take
nearly all of the update; Muon replaces the matrix of momentum by the nearest one whose singular values are all equal
(U V' of U S V'), found by a few matrix products instead of a singular value decomposition.

K. Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; J. Liu et al. 2025, "Muon is scalable
for LLM training" (arXiv:2502.16982), from which the scale of the update is.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from app.training.optimization.adam import FusedAdam, Moved, handle

MOMENTUM = 0.95
ROOT_MEAN_SQUARE = 0.2  # of an update's numbers at a rate of 1, which is about Adam's, so that its rates fit
ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration
EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="nmt")
class Muon(FusedAdam):
    """Muon for the matrices of attention and feed-forward networks; Adam for embeddings, biases and normalisation.

    Matrices need one moment, where Adam needs two.

    Args:
        product_dtype: Of the products that make an update orthogonal; bfloat16 is precise enough.
        kwargs: `FusedAdam`'s.
    """

    def __init__(self, *args: Any, product_dtype: str = "float32", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.product_dtype = product_dtype

    def _build_moments(self, variables: Sequence[keras.Variable]) -> None:
        keras.optimizers.Optimizer.build(self, variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")
        self._velocities = [
            None if is_hidden_matrix(variable) else self.add_optimizer_variables([variable], "velocity")[0]
            for variable in variables
        ]

    def _move(self, moved: Iterable[Moved], rate: tf.Tensor, step: tf.Tensor) -> None:
        of_adam, weights, directions = [], [], []
        for gradient, weight, m, v in moved:
            if v is not None:
                of_adam.append((gradient, weight, m, v))
                continue
            momentum = MOMENTUM * tf.convert_to_tensor(m) + gradient
            tf.raw_ops.AssignVariableOp(resource=handle(m), value=momentum)
            weights.append(weight)
            directions.append(tf.split(gradient + MOMENTUM * momentum, _fused(weight), axis=1))  # Nesterov's momentum
        super()._move(of_adam, rate, step)
        level = iter(orthogonal([part for parts in directions for part in parts], self.product_dtype))
        for weight, parts in zip(weights, directions, strict=True):
            update = tf.concat([next(level) for _ in parts], axis=1)
            tf.raw_ops.AssignSubVariableOp(resource=handle(weight), value=rate * update)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "product_dtype": self.product_dtype}


def is_hidden_matrix(variable: keras.Variable) -> bool:
    """Whether a weight is a matrix between two hidden layers; the embeddings are none."""
    return len(variable.shape) == 2 and "embedding" not in variable.path


def orthogonal(matrices: Sequence[tf.Tensor], dtype: str = "float32") -> list[tf.Tensor]:
    """Sets all singular values of each matrix to about the same value, and the root mean square of its numbers to 0.2.

    The iteration brings them to between 0.7 and 1.2 of each other, which serves as well as 1. Matrices of one shape,
    transposed or not, are taken at once.

    Args:
        matrices: float32, each [M, N].
        dtype: What to compute in.

    Returns:
        As many of the same shapes.
    """
    alike = defaultdict(list)
    for index, matrix in enumerate(matrices):
        alike[tuple(sorted(matrix.shape))].append(index)
    found: dict[int, tf.Tensor] = {}
    for (_, longer), indices in alike.items():
        wide = tf.stack([_wide(matrices[index]) for index in indices])
        wide /= tf.norm(wide, axis=(1, 2), keepdims=True) + EPSILON
        level = ROOT_MEAN_SQUARE * longer**0.5 * tf.cast(_newton_schulz(tf.cast(wide, dtype)), tf.float32)
        for index, matrix in zip(indices, tf.unstack(level, num=len(indices)), strict=True):
            found[index] = tf.transpose(matrix) if _is_tall(matrices[index]) else matrix
    return [found[index] for index in range(len(matrices))]


def _newton_schulz(x: tf.Tensor) -> tf.Tensor:
    """Brings the singular values of each matrix of [B, M, N], M <= N, from at most 1 to near 1."""
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = tf.matmul(x, x, transpose_b=True)
        x = a * x + tf.matmul(b * gram + c * tf.matmul(gram, gram), x)
    return x


def _is_tall(matrix: tf.Tensor) -> bool:
    return bool(matrix.shape[0] > matrix.shape[1])


def _wide(matrix: tf.Tensor) -> tf.Tensor:
    return tf.transpose(matrix) if _is_tall(matrix) else matrix


def _fused(weight: keras.Variable) -> int:
    """How many projections an attention's matrix holds side by side; each is made orthogonal by itself."""
    rows, columns = weight.shape
    return columns // rows if "attention" in weight.path else 1
