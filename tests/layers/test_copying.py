"""Copying: the mixture of a distribution over the vocabulary and one over the tokens of the source."""

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
from keras_nmt.layers.masks import EOS, PAD, causal_mask, padding_mask, segment_mask
from keras_nmt.layers.sublayers.attention import KeysValues
from keras_nmt.layers.sublayers.copying import CopyAttention, with_copies
from tests.layers.samples import (
    BATCH,
    CONFIG,
    SOURCE,
    TARGET,
    VOCABULARY,
    WIDTH,
    Array,
    assert_close,
    built,
    normal,
    numpy,
    padded_ids,
)
from tests.oracles import transformer as oracle

COPYING = replace(CONFIG, encoder_layers=1, decoder_layers=2, copying=True)
HEAD = 5  # width of the copy attention
TOKENS = padded_ids(BATCH, TARGET, seed=7)  # the decoder's input; some of them are in the source of `example`

few = settings(max_examples=4, deadline=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
seeds = st.integers(0, 2**16)
lengths = st.integers(1, 7)
pair_widths = st.lists(st.tuples(st.integers(3, 7), lengths), min_size=1, max_size=4)


def ended_ids(rows: int, length: int, seed: int = 0) -> Array:
    """Returns ids like `padded_ids` in which each row ends in EOS before its padding, and a token occurs twice."""
    ids = padded_ids(rows, length, seed=seed)
    for row in ids:
        real = np.flatnonzero(row)
        row[real[0]], row[real[-1]] = row[real[len(real) // 2]], EOS
    return ids


@pytest.fixture(scope="module", params=["pre", pytest.param("post", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> Transformer:
    return built(Transformer(replace(COPYING, normalization=request.param)))


def encoded_by(model: Transformer, source: Array) -> dict[str, Any]:
    memory, may_attend = model.encode(source)
    copies = model.copy_memory(source, memory)
    return {"cross": model.cross_cache(memory), "may_attend_source": may_attend, "copies": copies}


def call(model: Transformer, source: Array, target: Array, **segments: Array) -> Array:
    return numpy(model({"source": source, "target": target, **segments}))


def softmax(scores: Array) -> Array:
    exponentials = np.exp(scores - scores.max(-1, keepdims=True))
    result: Array = exponentials / exponentials.sum(-1, keepdims=True)
    return result


def dense_mixture(
    attention: CopyAttention,
    states: Any,
    memory: Any,
    source: Array,
    logits: Any,
    *,
    tokens: Array = TOKENS,
    may_attend: Array | None = None,
) -> Any:
    """Computes the mixture from its definition, with a one-hot tensor [B, S, V]: float32 [B, T, V]."""
    may_copy = (source != PAD) & (source != EOS)
    may_copy = may_copy[:, None] & (True if may_attend is None else may_attend)  # [B, T or 1, S]
    scores = attention.query(states) @ keras.ops.swapaxes(attention.key(memory), 1, 2) / np.sqrt(attention.width)
    continues = np.zeros((*tokens.shape, source.shape[1]), "float32")
    for row, position, place in np.argwhere(tokens[:, :, None] == source[:, None, :-1]):
        continues[row, position, place + 1] = 1
    scores += attention.continuation[0] * continues
    weights = keras.ops.softmax(keras.ops.where(may_copy, scores, -1e9))
    context = keras.ops.matmul(weights, memory)
    of_gate = attention.gate(states) + keras.ops.matmul(context, attention.vote.kernel)
    of_gate += attention.continuation[1] * keras.ops.sum(weights * continues, axis=2, keepdims=True)
    gate = keras.ops.sigmoid(of_gate)
    one_hot = keras.ops.one_hot(source, VOCABULARY)
    return keras.ops.log(gate * keras.ops.softmax(logits) + (1 - gate) * keras.ops.matmul(weights, one_hot))


@pytest.fixture
def attention() -> CopyAttention:
    return built(CopyAttention(HEAD))


def mixture(attention: CopyAttention, states: Any, memory: Any, source: Array, logits: Any) -> Any:
    copies = attention(states, TOKENS, memory=attention.memory(source, memory), may_attend=padding_mask(source))
    return with_copies(logits, copies)


def example() -> tuple[Array, Array, Array, Array]:
    """Returns states [B, T, D], memory [B, S, D], source [B, S] and logits [B, T, V]."""
    source = ended_ids(BATCH, SOURCE, seed=3)
    return (
        normal(BATCH, TARGET, WIDTH),
        normal(BATCH, SOURCE, WIDTH, seed=1),
        source,
        normal(BATCH, TARGET, VOCABULARY, seed=2),
    )


def test_the_mixture_equals_its_definition(attention: CopyAttention) -> None:
    states, memory, source, logits = example()
    found = numpy(mixture(attention, states, memory, source, logits))
    assert_close(found, numpy(dense_mixture(attention, states, memory, source, logits)))
    np.testing.assert_allclose(np.exp(found).sum(-1), 1.0, rtol=1e-5)
    generated = np.log(softmax(logits))
    assert (found - generated).max() > 1  # some tokens are mostly copied


def test_every_gradient_equals_that_of_the_definition(attention: CopyAttention) -> None:
    states, memory, source, logits = example()
    inputs = [tf.constant(values) for values in (states, memory, logits)]
    watched = [*inputs, *(weight.value for weight in attention.weights)]
    upstream = normal(BATCH, TARGET, VOCABULARY, seed=9)

    def gradients(compute: Any) -> list[Any]:
        with tf.GradientTape() as tape:
            tape.watch(watched)
            loss = tf.reduce_sum(compute(attention, inputs[0], inputs[1], source, inputs[2]) * upstream)
        return list(tape.gradient(loss, watched))

    for found, expected in zip(gradients(mixture), gradients(dense_mixture), strict=True):
        assert np.abs(expected).max() > 1e-2
        assert_close(found, numpy(expected), tolerance=1e-4)


def test_the_gradient_equals_central_differences(attention: CopyAttention) -> None:
    states, memory, source, logits = example()
    weights = normal(BATCH, TARGET, VOCABULARY, seed=9)

    def loss(memory: Any) -> Any:
        return tf.reduce_sum(mixture(attention, states, memory, source, logits) * weights)

    given = tf.constant(memory)
    with tf.GradientTape() as tape:
        tape.watch(given)
        value = loss(given)
    gradient = tape.gradient(value, given).numpy()
    for place in [(0, 0, 0), (1, 4, 3), (2, 6, 13)]:
        step = np.zeros_like(memory)
        step[place] = 1e-2
        difference = float(loss(memory + step) - loss(memory - step)) / 2e-2
        np.testing.assert_allclose(gradient[place], difference, rtol=2e-2, atol=2e-2)


def test_a_position_behind_the_last_token_of_the_target_is_copied_first(attention: CopyAttention) -> None:
    source, tokens = np.array([[5, 6, 7, 8, 6, 9, EOS]]), np.array([[1, 6, 7, 6]])  # 1 is no token of the source
    for weight in attention.weights:
        weight.assign(np.zeros(weight.shape))
    attention.continuation.assign([20.0, 0.0])
    states, memory = normal(1, 4, WIDTH), normal(1, 7, WIDTH, seed=1)
    copies = attention(states, tokens, memory=attention.memory(source, memory), may_attend=padding_mask(source))
    copied = np.exp(numpy(with_copies(np.full((1, 4, VOCABULARY), -9.0), copies))[0]) * 2 - 1 / VOCABULARY
    assert_close(copied[0, [5, 6, 7, 8, 9]], np.array([1, 2, 1, 1, 1]) / 6)
    assert_close(copied[1, [7, 9]], [0.5, 0.5])  # 7 and 9 follow 6
    assert_close(copied[2, 8], 1.0)
    assert_close(copied[3, [7, 9]], [0.5, 0.5])


def test_padding_and_the_end_of_the_source_are_not_copied(attention: CopyAttention) -> None:
    states, memory, source, logits = example()
    copies = attention(states, TOKENS, memory=attention.memory(source, memory), may_attend=padding_mask(source))
    found = numpy(with_copies(logits, copies))
    generated = np.log(softmax(logits)) + numpy(copies.log_gate)[:, :, None]
    assert_close(found[:, :, [PAD, EOS]], generated[:, :, [PAD, EOS]])


def test_a_source_without_tokens_leaves_the_distribution_of_the_vocabulary(attention: CopyAttention) -> None:
    states, memory, _, logits = example()
    nothing = np.full((BATCH, SOURCE), PAD, "int32")
    nothing[:, 0] = EOS
    assert_close(mixture(attention, states, memory, nothing, logits), np.log(softmax(logits)))


def test_an_impossible_token_is_copied_without_underflow(attention: CopyAttention) -> None:
    states, memory, source, logits = example()
    logits[:, :, source[0, 0]] -= 200  # their softmax is 0
    copied = numpy(mixture(attention, states, memory, source, logits))[0, :, source[0, 0]]
    expected = numpy(dense_mixture(attention, states, memory, source, logits))[0, :, source[0, 0]]
    assert_close(copied, expected, tolerance=1e-4)
    assert copied.min() > -100  # the vocabulary's distribution alone gives about -200


def test_the_model_mixes_the_decoders_output_with_copies(model: Transformer) -> None:
    source, target = ended_ids(BATCH, SOURCE, seed=3), padded_ids(BATCH, TARGET, seed=4)
    without = Transformer(replace(model.config, copying=False))
    without.set_weights(model.get_weights()[: len(without.weights)])
    states, logits = without.states({"source": source, "target": target}), call(without, source, target)
    memory, _ = without.encode(source)
    assert model.copy_attention
    expected = dense_mixture(model.copy_attention, states, memory, source, logits, tokens=target)
    assert_close(call(model, source, target), numpy(expected))


def test_a_model_that_does_not_copy_has_the_same_weights_except_for_copying() -> None:
    paths = [weight.path.split("/", 1)[1] for weight in Transformer(COPYING).weights]
    without = [weight.path.split("/", 1)[1] for weight in Transformer(replace(COPYING, copying=False)).weights]
    added = ("continuation", "query/kernel", "key/kernel", "gate/kernel", "gate/bias", "vote/kernel")
    assert paths == [*without, *(f"copy_attention/{name}" for name in added)]


class ConcatenatingCache:
    """The simplest cache: it concatenates."""

    def __init__(self, held: KeysValues) -> None:
        self.held = held

    def append(self, new: KeysValues) -> KeysValues:
        both = zip(self.held, new, strict=True)
        self.held = KeysValues(*(keras.ops.concatenate([old, more], axis=2) for old, more in both))
        return self.held


@few
@given(seed=seeds, length=lengths, cuts=st.sets(st.integers(1, 6)))
def test_the_log_probabilities_are_the_same_for_every_split_of_the_target(
    model: Transformer, seed: int, length: int, cuts: set[int]
) -> None:
    source, target = ended_ids(3, 7, seed), padded_ids(3, length, seed=seed + 9)
    encoded = encoded_by(model, source)
    caches = [ConcatenatingCache(own) for own in model.empty_cache(3, 0)]
    scores = []
    for start, end in pairwise([0, *sorted(cut for cut in cuts if cut < length), length]):
        may_attend, positions = causal_mask(end)[:, :, start:], np.arange(start, end)
        step = model.decode_step(target[:, start:end], positions, caches, may_attend, **encoded)
        scores.append(numpy(step))
    assert_close(np.concatenate(scores, axis=1), call(model, source, target))
    assert_close(model.decode(target, **encoded), call(model, source, target))


@few
@given(
    seed=seeds, widths=st.lists(st.tuples(st.integers(3, 7), lengths), min_size=1, max_size=4), gap=st.integers(0, 2)
)
def test_packed_pairs_have_the_log_probabilities_of_separate_rows(
    model: Transformer, seed: int, widths: list[tuple[int, int]], gap: int
) -> None:
    pairs = [(ended_ids(1, s, seed + i), padded_ids(1, t, seed=seed + 100 + i)) for i, (s, t) in enumerate(widths)]
    packed: dict[str, Array] = {}
    for side, name in enumerate(("source", "target")):
        rows = [np.pad(pair[side], ((0, 0), (0, gap))) for pair in pairs]
        packed[name] = np.concatenate(rows, axis=1)
        segments = np.concatenate([np.full_like(row, i) for i, row in enumerate(rows, start=1)], axis=1)
        packed[f"{name}_segments"] = np.where(packed[name], segments, 0)
    together = numpy(model(packed))
    for number, (source, target) in enumerate(pairs, start=1):
        assert_close(together[:, packed["target_segments"][0] == number], call(model, source, target))


def test_a_packed_pair_without_anything_to_copy_copies_nothing(model: Transformer) -> None:
    packed = {
        "source": np.array([[EOS, 5, 6, EOS]], "int32"),
        "source_segments": np.array([[1, 2, 2, 2]], "int32"),
        "target": np.array([[7, 8, 9, 5]], "int32"),
        "target_segments": np.array([[1, 1, 2, 2]], "int32"),
    }
    assert_close(np.exp(numpy(model(packed))).sum(axis=-1), np.ones((1, 4)))


def test_a_packed_pair_copies_only_from_its_own_source(attention: CopyAttention) -> None:
    states, memory, source, logits = example()
    source_segments = np.where(source != PAD, np.arange(SOURCE) // 6 + 1, 0)
    may_attend = segment_mask(np.tile([1, 2, 2, 1, 2], (BATCH, 1)), source_segments)
    copies = attention(states, TOKENS, memory=attention.memory(source, memory), may_attend=may_attend)
    expected = dense_mixture(attention, states, memory, source, logits, may_attend=numpy(may_attend)[:, 0] > 0)
    assert_close(with_copies(logits, copies), numpy(expected))


def test_source_padding_changes_nothing(model: Transformer) -> None:
    source, target = ended_ids(3, 7), padded_ids(3, 5, seed=1)
    assert_close(call(model, np.pad(source, ((0, 0), (0, 4))), target), call(model, source, target))


def test_a_decoder_without_the_source_to_copy_is_refused(model: Transformer) -> None:
    source, target = ended_ids(2, 5), padded_ids(2, 3)
    encoded = {name: value for name, value in encoded_by(model, source).items() if name != "copies"}
    with pytest.raises(ValueError, match="the model copies, so its decoder needs `copies`"):
        model.decode(target, **encoded)
    caches = [ConcatenatingCache(own) for own in model.empty_cache(2, 0)]
    with pytest.raises(ValueError, match="the model copies, so its decoder needs `copies`"):
        model.decode_step(target, np.arange(3), caches, causal_mask(3), **encoded)
    with pytest.raises(ValueError, match="the model does not copy, so it has no copy attention"):
        Transformer(CONFIG).copy_memory(source, normal(2, 5, WIDTH))


def test_a_model_without_an_encoder_cannot_copy() -> None:
    with pytest.raises(ValueError, match="copying is true, but there is no encoder to copy from; set copying = false"):
        replace(CONFIG, encoder_layers=0, copying=True)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_log_probabilities_are_float32_under_mixed_precision(policy: str) -> None:
    model = built(Transformer(COPYING, dtype=policy))
    found = model({"source": ended_ids(BATCH, SOURCE), "target": padded_ids(BATCH, TARGET)})
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    np.testing.assert_allclose(np.exp(numpy(found)).sum(-1), 1.0, rtol=1e-5)


def test_cross_attention_is_that_of_the_model_without_copying(model: Transformer) -> None:
    source, target = ended_ids(BATCH, SOURCE), padded_ids(BATCH, TARGET)
    without = Transformer(replace(model.config, copying=False))
    without.set_weights(model.get_weights()[: len(without.weights)])
    encoded = {name: value for name, value in encoded_by(model, source).items() if name != "copies"}
    assert_close(model.cross_weights(target, **encoded_by(model, source)), without.cross_weights(target, **encoded))


def test_the_oracles_logits_are_those_before_copying(model: Transformer) -> None:
    source, target = ended_ids(BATCH, SOURCE, seed=3), padded_ids(BATCH, TARGET, seed=4)
    weights = oracle.transformer_weights(oracle.named_weights(model), CONFIG.heads)
    states, copies = model.outputs({"source": source, "target": target})
    assert copies
    assert copies.log_copied.shape == (BATCH, TARGET, SOURCE)
    assert_close(model.embedding.logits(states), oracle.transformer(source, target, weights))
