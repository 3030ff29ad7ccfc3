"""The decoder-only language model: values, properties for any input, and its place beside `Transformer`."""

from collections.abc import Set
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_nmt.layers import LanguageModel, Transformer, network_of
from keras_nmt.layers.masks import causal_mask
from tests.layers.samples import (
    BATCH,
    CONFIG,
    HEADS,
    TARGET,
    Array,
    assert_close,
    built,
    numpy,
    padded_ids,
    token_ids,
)
from tests.layers.test_properties import (
    TINY,
    VOCABULARY,
    WIDTH,
    ConcatenatingCache,
    cuts,
    few,
    lengths,
    seeds,
)
from tests.oracles import transformer as oracle

DECODER_ONLY = replace(CONFIG, encoder_layers=0)
SMALL = replace(TINY, encoder_layers=0)


@pytest.fixture(scope="module", params=["pre", pytest.param("post", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> LanguageModel:
    return built(LanguageModel(replace(SMALL, normalization=request.param)), WIDTH)


def logits(model: LanguageModel, target: Array) -> Array:
    return numpy(model({"target": target}))


@pytest.mark.parametrize("normalization", ["post", "pre"])
def test_a_language_model_equals_the_oracle(normalization: str) -> None:
    model = built(LanguageModel(replace(DECODER_ONLY, normalization=normalization)))
    target = padded_ids(BATCH, TARGET, seed=1)
    weights = oracle.language_model_weights(oracle.named_weights(model), HEADS)
    assert_close(model({"target": target}), oracle.language_model(target, weights))


def test_a_language_model_has_no_weights_for_a_source() -> None:
    model = LanguageModel(replace(SMALL, normalization="pre"))
    width, inner, layers = SMALL.model_width, SMALL.inner_width, SMALL.decoder_layers
    norm = 2 * width
    layer = 4 * width**2 + 2 * width * inner + inner + width + 2 * norm
    assert model.count_params() == VOCABULARY * width + layers * layer + norm
    assert not [weight.path for weight in model.weights if "cross" in weight.path or "encoder" in weight.path]


def test_a_source_is_ignored(model: LanguageModel) -> None:
    target = token_ids(3, 5, VOCABULARY)
    with_source = model({"source": token_ids(3, 7, VOCABULARY, seed=1), "target": target})
    np.testing.assert_array_equal(numpy(with_source), logits(model, target))


def test_decode_gives_the_logits_of_call_and_states_those_before_the_projection(model: LanguageModel) -> None:
    target = token_ids(3, 5, VOCABULARY)
    np.testing.assert_array_equal(numpy(model.decode(target)), logits(model, target))
    table = oracle.named_weights(model)["embedding/embeddings"]
    assert_close(model({"target": target}), oracle.project(numpy(model.states({"target": target})), table))


def stepwise(model: LanguageModel, target: Array, cuts: Set[int]) -> Array:
    """Returns the logits of `decode_step`, called for one piece of the target after another."""
    rows, length = target.shape
    held, scores = model.empty_cache(rows, 0), []
    for start, end in pairwise([0, *sorted(cut for cut in cuts if 0 < cut < length), length]):
        caches = [ConcatenatingCache(own) for own in held]
        may_attend = causal_mask(end)[:, :, start:]
        scores.append(numpy(model.decode_step(target[:, start:end], np.arange(start, end), caches, may_attend)))
        held = [cache.held for cache in caches]
    return np.concatenate(scores, axis=1)


@few
@given(seed=seeds, length=lengths, cuts=cuts)
def test_the_logits_are_the_same_for_every_split(model: LanguageModel, seed: int, length: int, cuts: set[int]) -> None:
    target = token_ids(3, length, VOCABULARY, seed)
    assert_close(stepwise(model, target, cuts), logits(model, target))


def test_each_row_of_a_step_may_have_a_position_of_its_own(model: LanguageModel) -> None:
    target = token_ids(2, 4, VOCABULARY)
    caches = [ConcatenatingCache(own) for own in model.empty_cache(2, 0)]
    positions = np.array([[0, 1, 2, 3], [5, 6, 7, 8]])
    scores = numpy(model.decode_step(target, positions, caches, causal_mask(4)))
    assert_close(scores[:1], logits(model, target)[:1])
    assert np.abs(scores[1] - logits(model, target)[1]).max() > 1e-3


@few
@given(seed=seeds, length=lengths, changed=st.integers(0, 6))
def test_a_token_changes_no_earlier_logits(model: LanguageModel, seed: int, length: int, changed: int) -> None:
    position = changed % length
    target = token_ids(3, length, VOCABULARY, seed)
    other = target.copy()
    other[:, position] = target[:, position] % (VOCABULARY - 1) + 1
    first, second = logits(model, target), logits(model, other)
    assert_close(second[:, :position], first[:, :position])
    assert np.abs(second[:, position] - first[:, position]).max() > 1e-3


@few
@given(seed=seeds, length=lengths, padding=st.integers(1, 5))
def test_padding_changes_no_logits(model: LanguageModel, seed: int, length: int, padding: int) -> None:
    target = token_ids(3, length, VOCABULARY, seed)
    padded = np.pad(target, ((0, 0), (0, padding)))
    assert_close(logits(model, padded)[:, :length], logits(model, target))


@few
@given(seed=seeds, widths=st.lists(lengths, min_size=1, max_size=4), gap=st.integers(0, 2))
def test_packed_texts_have_the_logits_of_separate_rows(
    model: LanguageModel, seed: int, widths: list[int], gap: int
) -> None:
    texts = [token_ids(1, width, VOCABULARY, seed + i) for i, width in enumerate(widths)]
    rows = [np.pad(text, ((0, 0), (0, gap))) for text in texts]
    target = np.concatenate(rows, axis=1)
    numbers = np.concatenate([np.full_like(row, i) for i, row in enumerate(rows, start=1)], axis=1)
    segments = np.where(target, numbers, 0)
    together = numpy(model({"target": target, "target_segments": segments}))
    for number, text in enumerate(texts, start=1):
        assert_close(together[:, segments[0] == number], logits(model, text))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16", "mixed_float16"])
def test_caches_and_logits_have_the_compute_dtype(policy: str) -> None:
    model = built(LanguageModel(SMALL, dtype=policy), WIDTH)
    caches = [ConcatenatingCache(own) for own in model.empty_cache(2, 4)]
    assert len(caches) == SMALL.decoder_layers
    target, may_attend = token_ids(2, 3, VOCABULARY), np.pad(np.tril(np.ones((3, 3), bool)), ((0, 0), (4, 0)))
    scores = model.decode_step(target, np.arange(3), caches, may_attend[None, None])
    specs = {(tuple(tensor.shape), tensor.dtype.name) for cache in caches for tensor in cache.held}
    assert specs == {((2, SMALL.heads, 7, WIDTH // SMALL.heads), policy.removeprefix("mixed_"))}
    exact = built(LanguageModel(SMALL), WIDTH)
    assert_close(scores, logits(exact, target), tolerance=1e-5 if policy == "float32" else 0.15)


def test_a_saved_model_gives_equal_logits(model: LanguageModel, tmp_path: Path) -> None:
    target = token_ids(2, 5, VOCABULARY)
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded, LanguageModel)
    assert loaded.config == model.config
    np.testing.assert_array_equal(logits(loaded, target), logits(model, target))


def test_the_configuration_chooses_the_model() -> None:
    assert type(network_of(SMALL)) is LanguageModel
    assert type(network_of(TINY)) is Transformer
    assert network_of(SMALL, name="transformer", dtype="mixed_bfloat16").compute_dtype == "bfloat16"


def test_each_model_refuses_the_configuration_of_the_other() -> None:
    with pytest.raises(ValueError, match=r"^encoder_layers is 0; use at least 1, or LanguageModel for a model without"):
        Transformer(SMALL)
    with pytest.raises(ValueError, match=r"^encoder_layers is 1; use 0, or Transformer for a model with an encoder$"):
        LanguageModel(TINY)
