"""Properties of the model for any input: causality, padding, order of rows, and full = stepwise decoding."""

from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from itertools import pairwise
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from keras_nmt.layers import Transformer
from keras_nmt.layers.masks import causal_mask, segment_positions
from keras_nmt.layers.sublayers.attention import KeysValues
from tests.layers.samples import CONFIG, Array, assert_close, built, normal, numpy, padded_ids, token_ids

WIDTH, VOCABULARY = 6, 13
TINY = replace(
    CONFIG,
    vocabulary_size=VOCABULARY,
    model_width=WIDTH,
    inner_width=7,
    heads=3,
    encoder_layers=1,
    decoder_layers=2,
)
POLICIES = ["float32", "mixed_bfloat16", "mixed_float16"]

few = settings(max_examples=12, deadline=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
seeds = st.integers(0, 2**16)
lengths = st.integers(1, 7)
cuts = st.sets(st.integers(1, 6))


class ConcatenatingCache:
    """The simplest cache: it concatenates."""

    def __init__(self, held: KeysValues) -> None:
        self.held = held

    def append(self, new: KeysValues) -> KeysValues:
        both = zip(self.held, new, strict=True)
        self.held = KeysValues(*(keras.ops.concatenate([old, more], axis=2) for old, more in both))
        return self.held


class Traced:
    """A model traced once for unknown lengths, as in an export; faster than eager calls."""

    def __init__(self, model: Transformer) -> None:
        self.model = model
        ids = tf.TensorSpec([None, None], tf.int32)
        heads = tf.TensorSpec([None, TINY.heads, None, WIDTH // TINY.heads], tf.float32)
        held = [KeysValues(heads, heads)] * TINY.decoder_layers
        may_attend = tf.TensorSpec([None, 1, None, None], tf.bool)
        self.score = traced(lambda source, target: model({"source": source, "target": target}), ids, ids)
        names = ("source", "source_segments", "target", "target_segments")
        self.score_packed = traced(model.call, dict.fromkeys(names, ids))
        self.read = traced(self.cross_cache_and_mask, ids)
        positions = tf.TensorSpec([None], tf.int32)
        self.step = traced(self.decode_step, ids, positions, held, may_attend, held, may_attend)

    def cross_cache_and_mask(self, source: Any) -> Any:
        memory, may_attend = self.model.encode(source)
        return self.model.cross_cache(memory), may_attend

    def decode_step(self, tokens: Any, positions: Any, held: Any, may_attend: Any, *encoded: Any) -> Any:
        caches = [ConcatenatingCache(own) for own in held]
        cross, of_source = encoded
        logits = self.model.decode_step(tokens, positions, caches, may_attend, cross=cross, may_attend_source=of_source)
        return logits, [cache.held for cache in caches]


def traced(function: Callable[..., Any], *signature: Any) -> Callable[..., Any]:
    return tf.function(function, input_signature=signature, autograph=False)


@pytest.fixture(scope="module", params=["post", "pre"])
def model(request: pytest.FixtureRequest) -> Traced:
    return Traced(built(Transformer(replace(TINY, normalization=request.param)), WIDTH))


def logits(model: Traced, source: Array, target: Array) -> Array:
    return numpy(model.score(source, target))


def pieces(length: int, cuts: Set[int]) -> Iterator[tuple[int, int]]:
    """Splits a range: pieces(5, {1, 3}) -> (0, 1), (1, 3), (3, 5)."""
    bounds = [0, *sorted(cut for cut in cuts if 0 < cut < length), length]
    yield from pairwise(bounds)


def stepwise(model: Traced, source: Array, target: Array, cuts: Set[int]) -> Array:
    """Returns the logits of `decode_step`, called for one piece of the target after another."""
    cross, may_attend_source = model.read(source)
    rows, length = target.shape
    held = model.model.empty_cache(rows, 0)
    scores = []
    for start, end in pieces(length, cuts):
        may_attend = causal_mask(end)[:, :, start:]
        step, held = model.step(target[:, start:end], np.arange(start, end), held, may_attend, cross, may_attend_source)
        scores.append(numpy(step))
    return np.concatenate(scores, axis=1)


@few
@given(seed=seeds, length=lengths, cuts=cuts)
def test_the_logits_are_the_same_for_every_split_of_the_target(
    model: Traced, seed: int, length: int, cuts: set[int]
) -> None:
    source = padded_ids(3, 5, VOCABULARY, seed)
    target = token_ids(3, length, VOCABULARY, seed + 1)
    assert_close(stepwise(model, source, target, cuts), logits(model, source, target))


@few
@given(seed=seeds, beams=st.integers(1, 5), length=lengths)
def test_several_hypotheses_of_a_sentence_score_as_if_the_sentence_were_repeated(
    model: Traced, seed: int, beams: int, length: int
) -> None:
    source = padded_ids(2, 5, VOCABULARY, seed)
    targets = token_ids(2 * beams, length, VOCABULARY, seed + 1)
    cross, may_attend_source = model.read(source)
    held, scores = model.model.empty_cache(2, 0), []
    for position in range(length):
        tokens = targets[:, position].reshape(2, beams)
        own = np.tile(np.eye(beams, dtype=bool), position + 1)[None, None]  # [1, 1, K, (position + 1) * K]
        step, held = model.step(tokens, np.full(beams, position), held, own, cross, may_attend_source)
        scores.append(numpy(step).reshape(2 * beams, -1))
    assert_close(np.stack(scores, axis=1), logits(model, np.repeat(source, beams, axis=0), targets))


def test_an_eager_step_equals_a_traced_step(model: Traced) -> None:
    source, target = padded_ids(2, 5, VOCABULARY, 1), token_ids(2, 7, VOCABULARY, 2)
    memory, may_attend_source = model.model.encode(source)
    encoded = model.model.cross_cache(memory), may_attend_source
    held = model.model.empty_cache(2, 0)
    for start, end in pieces(7, {1, 4}):
        may_attend = causal_mask(end)[:, :, start:]
        scores, held = model.decode_step(target[:, start:end], np.arange(start, end), held, may_attend, *encoded)
        assert_close(scores, logits(model, source, target)[:, start:end])


def test_an_eager_source_and_target_of_one_token_are_scored_without_a_warning(model: Traced) -> None:
    source, target = np.array([[2]], "int32"), np.array([[1]], "int32")
    assert_close(model.model({"source": source, "target": target}), logits(model, source, target))


@pytest.mark.parametrize("policy", POLICIES)
def test_caches_have_the_compute_dtype(policy: str) -> None:
    model = built(Transformer(TINY, dtype=policy), WIDTH)
    memory, may_attend = model.encode(padded_ids(2, 5, VOCABULARY))
    empty = model.empty_cache(2, 4)
    assert [tensor.shape for layer in empty for tensor in layer] == [(2, 3, 4, 2)] * 2 * TINY.decoder_layers
    caches = [ConcatenatingCache(own) for own in empty]
    tokens, cross = token_ids(2, 3, VOCABULARY), model.cross_cache(memory)
    encoded = {"cross": cross, "may_attend_source": may_attend}
    scores = model.decode_step(tokens, np.arange(3), caches, np.ones((1, 1, 3, 7), bool), **encoded)
    assert scores.shape == (2, 3, VOCABULARY)
    specs = [(tensor.shape, tensor.dtype) for cache in caches for tensor in cache.held]
    assert specs == [((2, 3, 7, 2), policy.removeprefix("mixed_"))] * 2 * TINY.decoder_layers


@few
@given(seed=seeds, source_length=lengths, padding=st.integers(1, 5))
def test_source_padding_does_not_change_the_logits(model: Traced, seed: int, source_length: int, padding: int) -> None:
    source = token_ids(3, source_length, VOCABULARY, seed)
    target = token_ids(3, 5, VOCABULARY, seed + 1)
    padded = np.pad(source, ((0, 0), (0, padding)))
    assert_close(logits(model, padded, target), logits(model, source, target))


@few
@given(seed=seeds, length=lengths, changed=st.integers(0, 6))
def test_a_target_token_does_not_change_earlier_logits(model: Traced, seed: int, length: int, changed: int) -> None:
    position = changed % length
    source, target = padded_ids(3, 5, VOCABULARY, seed), token_ids(3, length, VOCABULARY, seed + 1)
    other = target.copy()
    other[:, position] = target[:, position] % (VOCABULARY - 1) + 1
    first, second = logits(model, source, target), logits(model, source, other)
    assert_close(second[:, :position], first[:, :position])
    assert np.abs(second[:, position] - first[:, position]).max() > 1e-3


@few
@given(seed=seeds, order=st.permutations(range(5)))
def test_the_order_of_a_batch_does_not_matter(model: Traced, seed: int, order: list[int]) -> None:
    source, target = padded_ids(5, 7, VOCABULARY, seed), padded_ids(5, 3, VOCABULARY, seed + 1)
    assert_close(logits(model, source[order], target[order]), logits(model, source, target)[order])


@few
@given(seed=seeds)
def test_the_order_of_source_tokens_matters(model: Traced, seed: int) -> None:
    source = np.random.default_rng(seed).permutation(np.arange(1, 8))[None].astype("int32")
    target = token_ids(1, 3, VOCABULARY, seed)
    assert np.abs(logits(model, source[:, ::-1], target) - logits(model, source, target)).max() > 1e-4


@few
@given(seed=seeds, widths=st.lists(st.tuples(lengths, lengths), min_size=1, max_size=4), gap=st.integers(0, 2))
def test_packed_pairs_have_the_logits_of_separate_rows(
    model: Traced, seed: int, widths: list[tuple[int, int]], gap: int
) -> None:
    pairs = [
        (token_ids(1, s, VOCABULARY, seed + i), token_ids(1, t, VOCABULARY, seed - i))
        for i, (s, t) in enumerate(widths)
    ]
    packed = {}
    for side, name in enumerate(("source", "target")):
        rows = [np.pad(pair[side], ((0, 0), (0, gap))) for pair in pairs]
        packed[name] = np.concatenate(rows, axis=1)
        segments = np.concatenate([np.full_like(row, i) for i, row in enumerate(rows, start=1)], axis=1)
        packed[f"{name}_segments"] = np.where(packed[name], segments, 0)
    together = numpy(model.score_packed(packed))
    for number, (source, target) in enumerate(pairs, start=1):
        own = packed["target_segments"][0] == number
        assert_close(together[:, own], logits(model, source, target))


def test_positions_count_from_the_start_of_each_segment() -> None:
    segments = np.array([[1, 1, 1, 2, 2, 3, 0, 0], [1, 0, 0, 2, 2, 2, 3, 0]], "int32")
    expected = np.array([[0, 1, 2, 0, 1, 0], [0, 0, 1, 0, 1, 2]])
    found = keras.ops.convert_to_numpy(segment_positions(segments))
    assert np.array_equal(found[:, :6], expected)
    assert found[1, 6] == 0


@pytest.mark.parametrize(
    ("policy", "normalization"),
    [("float32", "post"), ("float32", "pre"), ("mixed_bfloat16", "post"), ("mixed_float16", "pre")],
)
def test_a_row_of_only_padding_gives_finite_values_and_gradients(policy: str, normalization: str) -> None:
    model = built(Transformer(replace(TINY, normalization=normalization), dtype=policy), WIDTH)
    inputs: dict[str, Any] = {"source": token_ids(3, 5, VOCABULARY), "target": token_ids(3, 7, VOCABULARY)}
    inputs["source"][1] = inputs["target"][1] = 0
    with tf.GradientTape() as tape:
        scores = keras.ops.cast(model(inputs, training=True), "float32")
        loss = keras.ops.sum(scores * normal(*scores.shape))
    gradients = tape.gradient(loss, [weight.value for weight in model.weights])
    assert np.isfinite(numpy(scores)).all()
    assert all(np.isfinite(numpy(tf.convert_to_tensor(gradient))).all() for gradient in gradients)


def test_a_row_of_only_padding_does_not_change_other_rows(model: Traced) -> None:
    source, target = token_ids(3, 5, VOCABULARY), token_ids(3, 7, VOCABULARY)
    alone = logits(model, source[[0, 2]], target[[0, 2]])
    source[1] = target[1] = 0
    assert_close(logits(model, source, target)[[0, 2]], alone)


def test_a_functional_model_of_unknown_lengths_gives_the_same_logits(model: Traced) -> None:
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in ("source", "target")}
    outputs = model.model(inputs)
    assert outputs.shape == (None, None, VOCABULARY)
    source, target = padded_ids(3, 5, VOCABULARY), token_ids(3, 7, VOCABULARY)
    functional = keras.Model(inputs, outputs)({"source": source, "target": target})
    assert_close(functional, logits(model, source, target))
