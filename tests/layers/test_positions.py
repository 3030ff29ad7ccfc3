"""Precision of the sinusoids: if two neighbours were equal, the model could not tell them apart."""

import keras
import numpy as np
import pytest

from keras_nmt.layers.positions import PositionalEncoding, sinusoids
from tests.layers.samples import WIDTH, numpy
from tests.oracles import transformer as oracle

POSITIONS = 1_000


@pytest.mark.parametrize("width", [2, WIDTH, 512])
def test_neighbours_among_a_thousand_positions_differ(width: int) -> None:
    table = numpy(sinusoids(np.arange(POSITIONS), width))
    assert np.abs(np.diff(table, axis=0)).max(axis=-1).min() > 1e-2


def test_a_thousand_positions_equal_the_oracle() -> None:
    table = numpy(sinusoids(np.arange(POSITIONS), WIDTH))
    np.testing.assert_allclose(table, oracle.sinusoids(range(POSITIONS), WIDTH), atol=2e-4)


def test_sinusoids_are_float32_for_positions_of_any_type() -> None:
    for dtype in ("int32", "int64", "float32"):
        assert keras.backend.standardize_dtype(sinusoids(np.arange(3, dtype=dtype), WIDTH).dtype) == "float32"


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_a_lower_precision_rounds_the_float32_positions_once(policy: str) -> None:
    encoding = PositionalEncoding(dtype=policy)(np.zeros((1, POSITIONS, WIDTH), "float32"))
    once = keras.ops.cast(sinusoids(np.arange(POSITIONS), WIDTH), policy.removeprefix("mixed_"))
    np.testing.assert_array_equal(numpy(encoding)[0], numpy(once))


def test_late_positions_in_bfloat16_differ_from_their_neighbours() -> None:
    encoding = numpy(PositionalEncoding(dtype="mixed_bfloat16")(np.zeros((1, POSITIONS, 512), "float32")))[0]
    assert (np.diff(encoding, axis=0) != 0).any(axis=-1).all()
