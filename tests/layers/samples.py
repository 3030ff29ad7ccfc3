"""What the tests of the layers share: sizes, random tensors, random weights, and when two arrays are close.

The sizes are distinct primes, so that swapped axes cannot pass; the width alone is a product, of heads and head width.
"""

from typing import Any

import keras
import numpy as np

from layers import TransformerConfig

BATCH, SOURCE, TARGET = 3, 11, 5
HEADS, HEAD_WIDTH, INNER = 2, 7, 23
WIDTH = HEADS * HEAD_WIDTH
VOCABULARY = 19

CONFIG = TransformerConfig(
    vocabulary_size=VOCABULARY,
    model_width=WIDTH,
    inner_width=INNER,
    heads=HEADS,
    encoder_layers=2,
    decoder_layers=3,
    residual_dropout=0.0,
)

Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 0) -> Array:
    """Standard normal float32."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def token_ids(rows: int, length: int, vocabulary: int = VOCABULARY, seed: int = 0) -> Array:
    """Real tokens, int32 [rows, length]: no padding."""
    return np.random.default_rng(seed).integers(1, vocabulary, (rows, length)).astype("int32")


def padded_ids(rows: int, length: int, vocabulary: int = VOCABULARY, seed: int = 0) -> Array:
    """int32 [rows, length]: every row but the first ends in padding, each in more of it."""
    ids = token_ids(rows, length, vocabulary, seed)
    for row in range(1, rows):
        ids[row, -min(row, length - 1) :] = 0
    return ids


def randomise(layer: keras.layers.Layer, seed: int = 0) -> None:
    """Gives a built layer weights none of which is 0 or 1, so that none is out of sight of a test."""
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        values = generator.normal(scale=weight.shape[0] ** -0.5, size=weight.shape)
        weight.assign(values + 1 if weight.name == "gamma" else values)


def built(layer: keras.layers.Layer, width: int = WIDTH) -> keras.layers.Layer:
    """The layer, built for [B, T, width], with random weights."""
    layer.build((None, None, width))
    randomise(layer)
    return layer


def numpy(tensor: Any) -> Array:
    """Any tensor as float32 in NumPy (which has no bfloat16)."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Equal to a relative `tolerance`, and for entries near zero to as much of a value of order 1."""
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(numpy(actual), expected, rtol=tolerance, atol=tolerance)
