"""Muon: an optimizer whose update of a weight matrix has the same size in all directions.

Adam updates each number of a matrix separately. The gradient of a weight matrix is nearly of low rank, so a few
directions get nearly all of the update. If U S V' is the singular value decomposition of the momentum matrix, Muon's
update is U V', the nearest matrix whose singular values are all 1. U V' is computed approximately by a few matrix
products, without the decomposition.

K. Jordan et al. 2024, "Muon: An optimizer for hidden layers in neural networks"; J. Liu et al. 2025, "Muon is scalable
for LLM training" (arXiv:2502.16982), the source of the update's scale.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_nmt.app.training.optimization.adam import FusedAdam, WeightState, handle

MOMENTUM = 0.95
ROOT_MEAN_SQUARE = 0.2  # of an update at learning rate 1; Adam's is similar, so Adam's learning rates can be used
ITERATIONS, COEFFICIENTS = 5, (3.4445, -4.7750, 2.0315)  # of the Newton-Schulz iteration
EPSILON = 1e-7


@keras.saving.register_keras_serializable(package="nmt")
class Muon(FusedAdam):
    """Muon for the matrices of attention and feed-forward networks; Adam for embeddings, biases and normalization.

    The optimizer stores one moment for a weight that Muon updates, and two moments for a weight that Adam updates.

    Args:
        args: The positional arguments of `FusedAdam`.
        product_dtype: The dtype of the matrix products that orthogonalize an update; bfloat16 is precise enough.
        kwargs: The keyword arguments of `FusedAdam`.
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

    def _update_weights(self, states: Iterable[WeightState], rate: tf.Tensor, step: tf.Tensor) -> None:
        adam_states, weights, directions = [], [], []
        for gradient, weight, m, v in states:
            if v is not None:
                adam_states.append((gradient, weight, m, v))
                continue
            momentum = MOMENTUM * tf.convert_to_tensor(m) + gradient
            tf.raw_ops.AssignVariableOp(resource=handle(m), value=momentum)
            weights.append(weight)
            directions.append(tf.split(gradient + MOMENTUM * momentum, _fused(weight), axis=1))  # Nesterov's momentum
        super()._update_weights(adam_states, rate, step)
        updates = iter(orthogonalized([part for parts in directions for part in parts], self.product_dtype))
        for weight, parts in zip(weights, directions, strict=True):
            update = tf.concat([next(updates) for _ in parts], axis=1)
            tf.raw_ops.AssignSubVariableOp(resource=handle(weight), value=rate * update)

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {**super().get_config(), "product_dtype": self.product_dtype}


def is_hidden_matrix(variable: keras.Variable) -> bool:
    """True if a weight is a matrix between two hidden layers; False for embeddings, biases and normalization."""
    return len(variable.shape) == 2 and "embedding" not in variable.path


def orthogonalized(matrices: Sequence[tf.Tensor], dtype: str = "float32") -> list[tf.Tensor]:
    """Makes the singular values of each matrix about equal, and the root mean square of the matrix's numbers about 0.2.

    A Newton-Schulz iteration brings all singular values to about 0.7 to 1.2, and then each matrix is scaled. As
    updates, such matrices work as well as matrices whose singular values are exactly equal. Matrices of the shapes [M,
    N] and [N, M] are computed together in one batch.

    Args:
        matrices: The matrices, float32, each [M, N].
        dtype: The dtype of the computation.

    Returns:
        The orthogonalized matrices, float32, with the same shapes.
    """
    by_shape = defaultdict(list)
    for index, matrix in enumerate(matrices):
        by_shape[tuple(sorted(matrix.shape))].append(index)
    found: dict[int, tf.Tensor] = {}
    for (_, longer), indices in by_shape.items():
        wide = tf.stack([_wide(matrices[index]) for index in indices])
        wide /= tf.norm(wide, axis=(1, 2), keepdims=True) + EPSILON
        result = ROOT_MEAN_SQUARE * longer**0.5 * tf.cast(_newton_schulz(tf.cast(wide, dtype)), tf.float32)
        for index, matrix in zip(indices, tf.unstack(result, num=len(indices)), strict=True):
            found[index] = tf.transpose(matrix) if _is_tall(matrices[index]) else matrix
    return [found[index] for index in range(len(matrices))]


def _newton_schulz(x: tf.Tensor) -> tf.Tensor:
    """Brings the singular values of each matrix close to 1. `x` is [B, M, N], M <= N, with singular values up to 1."""
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
    """Returns the number of separate projections that a matrix consists of.

    An attention matrix [D, N D] consists of N projections [D, D], for example of N = 3 projections to queries, keys and
    values. `Muon` orthogonalizes each projection separately. Any other matrix is one projection, so 1 is returned.
    """
    rows, columns = weight.shape
    return max(1, columns // rows) if "attention" in weight.path else 1
