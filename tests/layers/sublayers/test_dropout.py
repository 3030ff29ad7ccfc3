"""Dropout: its rate, its scale, and where each of the three options applies."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest

from keras_nmt.layers import Transformer
from keras_nmt.layers.sublayers.attention import ScaledDotProductAttention
from keras_nmt.layers.sublayers.feed_forward import FeedForward
from keras_nmt.layers.sublayers.residual import Residual
from tests.layers.samples import BATCH, CONFIG, INNER, SOURCE, TARGET, Array, numpy, padded_ids, token_ids

ROWS, WIDTH = 41, 101  # enough values for the dropped share to be near the rate
POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]


def dropped_residual(rate: float, policy: str) -> Array:
    """Returns 0 + Dropout(1) of a residual connection."""
    layer = Residual("pre", rate, dtype=policy)
    return numpy(layer(np.zeros((1, ROWS, WIDTH), "float32"), sublayer=keras.ops.ones_like, training=True))


def dropped_inner(rate: float, policy: str) -> Array:
    """Returns the feed-forward output for ones, with identity matrices as W1 and W2."""
    layer = FeedForward(WIDTH, rate, dtype=policy)
    layer.build((None, None, WIDTH))
    layer.inner.kernel.assign(np.eye(WIDTH))
    layer.outer.kernel.assign(np.eye(WIDTH))
    return numpy(layer(np.ones((1, ROWS, WIDTH), "float32"), training=True))


def dropped_weights(rate: float, policy: str) -> Array:
    """Returns attention weights times their number: all scores are equal, and the values are unit vectors."""
    layer = ScaledDotProductAttention(rate, dtype=policy)
    query, key = np.zeros((1, 1, ROWS, 2), "float32"), np.zeros((1, 1, WIDTH, 2), "float32")
    values = np.eye(WIDTH, dtype="float32")[None, None] * WIDTH
    may_attend = np.ones((1, 1, 1, WIDTH), bool)
    return numpy(layer(query, key, values, may_attend=may_attend, training=True))


@pytest.mark.parametrize("rate", [0.1, 0.25, 0.5])
@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("dropped", [dropped_residual, dropped_inner, dropped_weights])
def test_a_share_is_dropped_and_the_rest_scaled_up(
    rate: float, policy: str, dropped: Callable[[float, str], Array]
) -> None:
    ones = dropped(rate, policy)
    kept = ones[ones != 0]
    spread = (rate * (1 - rate) / ones.size) ** 0.5  # standard deviation of the dropped share
    assert abs((ones == 0).mean() - rate) < 5 * spread
    np.testing.assert_allclose(kept, 1 / (1 - rate), rtol=0.01)


def test_values_are_dropped_independently_of_their_neighbours() -> None:
    mask = dropped_residual(0.5, "float32")[0] == 0
    for axis in (0, 1):
        both = mask & np.roll(mask, 1, axis)
        assert abs(both.mean() - 0.25) < 0.03


@pytest.mark.parametrize("rate", [0.9, 0.999])
def test_a_high_rate_leaves_finite_values(rate: float) -> None:
    ones = dropped_residual(rate, "float32")
    assert np.isfinite(ones).all()
    assert (ones == 0).mean() > 0.85


@pytest.mark.parametrize("option", ["residual_dropout", "attention_dropout", "inner_dropout"])
def test_each_dropout_option_changes_the_model_by_itself(option: str) -> None:
    inputs: dict[str, Any] = {"source": padded_ids(BATCH, SOURCE), "target": token_ids(BATCH, TARGET)}
    model = Transformer(replace(CONFIG, **{option: 0.5}))
    first, second = (numpy(model(inputs, training=True)) for _ in range(2))
    assert np.abs(first - second).max() > 1e-2


def test_residual_dropout_applies_to_the_embedded_input() -> None:
    model = Transformer(replace(CONFIG, residual_dropout=0.5))
    ids = token_ids(BATCH, INNER)
    share = (numpy(model.embed(ids, training=True)) == 0).mean()
    assert abs(share - 0.5) < 0.1
    assert (numpy(model.embed(ids, training=False)) == 0).mean() < 0.01
