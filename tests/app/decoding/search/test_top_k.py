import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.search.top_k import BLOCK, top_k


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), rows=st.integers(0, 3), width=st.integers(7, 5 * BLOCK), k=st.integers(1, 7))
def test_it_returns_the_largest_values_of_each_row_in_order(seed: int, rows: int, width: int, k: int) -> None:
    values = np.random.default_rng(seed).normal(size=(rows, width)).astype(np.float32)
    best = top_k(tf.constant(values), k)
    order = np.argsort(-values, axis=1)[:, :k]
    np.testing.assert_array_equal(best.indices, order)
    np.testing.assert_array_equal(best.values, np.take_along_axis(values, order, axis=1))


@pytest.mark.parametrize("width", [5, 4 * BLOCK])
def test_the_index_of_minus_infinity_is_within_the_row(width: int) -> None:
    values = np.full((2, width), -np.inf, np.float32)
    values[:, 3] = 1.0
    best = top_k(tf.constant(values), 4)
    np.testing.assert_array_equal(best.values, [[1.0, -np.inf, -np.inf, -np.inf]] * 2)
    np.testing.assert_array_equal(best.indices[:, 0], [3, 3])
    assert int(tf.reduce_max(best.indices)) < width


def test_the_width_may_be_unknown_while_tracing() -> None:
    traced = tf.function(lambda x: top_k(x, 2), input_signature=[tf.TensorSpec([None, None])])
    for width in (2, BLOCK, BLOCK + 1):
        best = traced(tf.range(2.0 * width)[tf.newaxis, :])
        np.testing.assert_array_equal(best.indices, [[2 * width - 1, 2 * width - 2]])
