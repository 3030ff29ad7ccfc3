"""Helpers that the tests of layers share: sizes, random tensors, random weights, and a comparison of arrays.

The sizes are distinct primes, so that a test fails when axes are swapped; only the width is a product (heads times head
width).
"""

from typing import Any

import keras
import numpy as np

from keras_nmt.layers import TransformerConfig

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
    """Returns standard normal values, float32 [*shape]."""
    return np.random.default_rng(seed).standard_normal(shape).astype("float32")


def token_ids(rows: int, length: int, vocabulary: int = VOCABULARY, seed: int = 0) -> Array:
    """Returns random ids without padding, int32 [rows, length]."""
    return np.random.default_rng(seed).integers(1, vocabulary, (rows, length)).astype("int32")


def padded_ids(rows: int, length: int, vocabulary: int = VOCABULARY, seed: int = 0) -> Array:
    """Returns random ids, int32 [rows, length]; row i ends in i padding ids (but has a real one)."""
    ids = token_ids(rows, length, vocabulary, seed)
    for row in range(1, rows):
        ids[row, -min(row, length - 1) :] = 0
    return ids


def randomise(layer: keras.layers.Layer, seed: int = 0) -> None:
    """Assigns random weights, none of them 0 or 1, so that each one changes the output."""
    generator = np.random.default_rng(seed)
    for weight in layer.weights:
        values = generator.normal(scale=weight.shape[0] ** -0.5, size=weight.shape)
        weight.assign(values + 1 if weight.name == "gamma" else values)


def built(layer: keras.layers.Layer, width: int = WIDTH) -> keras.layers.Layer:
    """Builds the layer for inputs [B, T, width], assigns random weights and returns it."""
    layer.build((None, None, width))
    randomise(layer)
    return layer


def numpy(tensor: Any) -> Array:
    """Converts a tensor to a float32 array (NumPy has no bfloat16)."""
    return keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32"))


def assert_close(actual: Any, expected: Any, tolerance: float = 1e-5) -> None:
    """Asserts equal shapes, and values equal within `tolerance`, both relative and absolute."""
    expected = np.asarray(expected)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(numpy(actual), expected, rtol=tolerance, atol=tolerance)
