"""The word pointer: what the decoder is told about the next unread word."""

from collections.abc import Mapping
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
from keras_nmt.layers.inspection import attention_maps
from keras_nmt.layers.masks import causal_mask, padding_mask
from keras_nmt.layers.sublayers.attention import KeysValues
from keras_nmt.layers.sublayers.word_pointer import WordMemory, WordPointer
from tests.layers.samples import (
    BATCH,
    CONFIG,
    HEADS,
    SOURCE,
    TARGET,
    WIDTH,
    Array,
    assert_close,
    built,
    normal,
    numpy,
    padded_ids,
)
from tests.oracles import transformer as oracle
from tests.oracles import word_pointer as pointer_oracle

WORD = 5
POINTING = replace(CONFIG, encoder_layers=1, decoder_layers=2, word_token=WORD)

few = settings(max_examples=6, deadline=None, derandomize=True, phases=[Phase.generate, Phase.shrink])
seeds = st.integers(0, 2**16)
lengths = st.integers(1, 7)
both_normalizations = pytest.mark.parametrize("normalization", ["post", "pre"])


def with_words(rows: int, length: int, seed: int = 0) -> Array:
    """Returns ids like `padded_ids`, of which about 40% are words."""
    ids = padded_ids(rows, length, seed=seed)
    is_word = np.random.default_rng(seed + 1).random(ids.shape) < 0.4
    return np.where(is_word & (ids != 0), WORD, ids).astype("int32")


@pytest.fixture(scope="module", params=["pre", pytest.param("post", marks=pytest.mark.slow)])
def model(request: pytest.FixtureRequest) -> Transformer:
    return built(Transformer(replace(POINTING, normalization=request.param)))


def encoded_by(model: Transformer, source: Array) -> dict[str, Any]:
    memory, may_attend = model.encode(source)
    words = model.word_memory(source, memory)
    return {"cross": model.cross_cache(memory), "may_attend_source": may_attend, "words": words}


def call(model: Transformer, source: Array, target: Array, **segments: Array) -> Array:
    return numpy(model({"source": source, "target": target, **segments}))


def told(pointer: WordPointer, source: Array, target: Array, memory: Any) -> Any:
    words = pointer.memory(source, memory)
    return pointer(pointer.words_read(target), words=words, may_tell=padding_mask(source))


def test_the_pointer_tells_the_next_unread_word() -> None:
    pointer = built(WordPointer(WORD), 3)
    pointer.projection.kernel.assign(np.eye(3))
    memory = np.arange(6, dtype="float32")[None, :, None] + np.ones((1, 6, 3), "float32")  # position s has value s + 1
    source = np.array([[WORD, 7, WORD, 8, WORD, 9]])
    target = np.array([[6, WORD, 6, WORD, WORD, 4, 4]])
    assert numpy(told(pointer, source, target, memory))[0, :, 0].tolist() == [1.5, 3.5, 3.5, 5.5, 0, 0, 0]


def test_a_tag_in_the_target_reads_a_word_too() -> None:
    pointer = built(WordPointer(WORD, word_tags=2))
    tagged = np.array([[4, WORD, WORD + 1, WORD + 2, WORD + 3, 4, WORD]])
    assert numpy(pointer.words_read(tagged)).tolist() == [[0, 1, 2, 3, 3, 3, 4]]
    assert numpy(Transformer(replace(POINTING, word_tags=2)).is_word(tagged)).sum() == 4


def test_the_pointer_equals_the_oracle() -> None:
    pointer = built(WordPointer(WORD))
    source, target = with_words(BATCH, SOURCE, seed=3), with_words(BATCH, TARGET, seed=4)
    memory = normal(BATCH, SOURCE, WIDTH)
    kernel = oracle.named_weights(pointer)["projection/kernel"]
    expected = pointer_oracle.told(source, target, memory, kernel, WORD)
    assert 0 < np.count_nonzero(expected.any(axis=2)) < BATCH * TARGET
    assert_close(told(pointer, source, target, memory), expected)


@both_normalizations
def test_the_transformer_with_a_pointer_equals_the_oracle(normalization: str) -> None:
    model = built(Transformer(replace(POINTING, normalization=normalization)))
    source, target = with_words(BATCH, SOURCE, seed=3), with_words(BATCH, TARGET, seed=4)
    named = oracle.named_weights(model)
    weights = oracle.transformer_weights(named, HEADS)
    kernel = named["word_pointer/projection/kernel"]
    expected = pointer_oracle.transformer(source, target, weights, kernel, WORD)
    assert np.abs(expected - oracle.transformer(source, target, weights)).max() > 0.1
    assert_close(call(model, source, target), expected)


def test_a_model_without_words_has_the_same_weights_except_for_the_pointer() -> None:
    paths = [weight.path.split("/", 1)[1] for weight in Transformer(POINTING).weights]
    without = [weight.path.split("/", 1)[1] for weight in Transformer(replace(POINTING, word_token=0)).weights]
    assert paths == [*without, "word_pointer/projection/kernel"]


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
def test_the_logits_are_the_same_for_every_split_of_the_target(
    model: Transformer, seed: int, length: int, cuts: set[int]
) -> None:
    source, target = with_words(3, 7, seed), with_words(3, length, seed + 9)
    encoded = encoded_by(model, source)
    caches = [ConcatenatingCache(own) for own in model.empty_cache(3, 0)]
    words_read = np.cumsum(target == WORD, axis=1)
    scores = []
    for start, end in pairwise([0, *sorted(cut for cut in cuts if cut < length), length]):
        may_attend, new = causal_mask(end)[:, :, start:], slice(start, end)
        positions = np.arange(start, end)
        step = model.decode_step(target[:, new], positions, caches, may_attend, words_read[:, new], **encoded)
        scores.append(numpy(step))
    assert_close(np.concatenate(scores, axis=1), call(model, source, target))
    assert_close(model.decode(target, **encoded), call(model, source, target))


@few
@given(seed=seeds, widths=st.lists(st.tuples(lengths, lengths), min_size=1, max_size=4), gap=st.integers(0, 2))
def test_packed_pairs_have_the_logits_of_separate_rows(
    model: Transformer, seed: int, widths: list[tuple[int, int]], gap: int
) -> None:
    pairs = [(with_words(1, s, seed + i), with_words(1, t, seed + 100 + i)) for i, (s, t) in enumerate(widths, start=1)]
    packed: dict[str, Array] = {}
    for side, name in enumerate(("source", "target")):
        rows = [np.pad(pair[side], ((0, 0), (0, gap))) for pair in pairs]
        packed[name] = np.concatenate(rows, axis=1)
        segments = np.concatenate([np.full_like(row, i) for i, row in enumerate(rows, start=1)], axis=1)
        packed[f"{name}_segments"] = np.where(packed[name], segments, 0)
    together = numpy(model(packed))
    for number, (source, target) in enumerate(pairs, start=1):
        assert_close(together[:, packed["target_segments"][0] == number], call(model, source, target))


@few
@given(seed=seeds, changed=st.integers(0, 4))
def test_a_later_word_of_the_source_does_not_change_what_is_told_before(seed: int, changed: int) -> None:
    pointer = built(WordPointer(WORD))
    source, target = np.tile([[WORD, 7]], (1, 5)), with_words(1, 11, seed)
    memory = normal(1, 10, WIDTH, seed=seed)
    other = memory.copy()
    other[:, 2 * changed :] += 1
    first, second = (numpy(told(pointer, source, target, values)) for values in (memory, other))
    has_read = np.cumsum(target == WORD, axis=1)
    earlier, later = has_read < changed, (has_read >= changed) & (has_read < 5)
    np.testing.assert_array_equal(second[earlier], first[earlier])
    assert (np.abs(second - first).max(axis=2)[later] > 1e-3).all()


def test_source_padding_changes_nothing(model: Transformer) -> None:
    source, target = with_words(3, 7), with_words(3, 5, seed=1)
    assert_close(call(model, np.pad(source, ((0, 0), (0, 4))), target), call(model, source, target))


def test_gradient_reaches_the_encoder_at_the_words_that_are_told() -> None:
    pointer = built(WordPointer(WORD))
    source = np.array([[WORD, 7, WORD, WORD, 8], [9, WORD, 7, WORD, 8]])
    target = np.array([[6, WORD, 6], [6, 6, 6]])
    memory = tf.constant(normal(2, 5, WIDTH))
    with tf.GradientTape() as tape:
        tape.watch(memory)
        loss = tf.reduce_sum(told(pointer, source, target, memory) * normal(2, 3, WIDTH, seed=1))
    reached = numpy(tape.gradient(loss, memory)).any(axis=2)
    assert reached.tolist() == [[True, True, True, False, False], [False, True, True, False, False]]


@both_normalizations
def test_attention_is_computed_from_what_is_told(normalization: str) -> None:
    model = built(Transformer(replace(POINTING, normalization=normalization)))
    source, target = with_words(BATCH, SOURCE, seed=3), with_words(BATCH, TARGET, seed=4)

    def cross_weights() -> Array:
        return numpy(model.cross_weights(target, **encoded_by(model, source), layer=1))

    before = cross_weights()
    assert_close(attention_maps(model.record(source, target))["cross"][1], before)
    assert model.word_pointer is not None
    model.word_pointer.projection.kernel.assign(np.zeros((WIDTH, WIDTH)))
    assert np.abs(cross_weights() - before).max() > 1e-2
    without = Transformer(replace(POINTING, normalization=normalization, word_token=0))
    without.set_weights(model.get_weights()[:-1])
    assert_close(attention_maps(without.record(source, target))["cross"][1], cross_weights())


def test_a_decoder_that_is_not_told_its_words_is_refused(model: Transformer) -> None:
    source, target = with_words(2, 5), with_words(2, 3)
    encoded: Mapping[str, Any] = encoded_by(model, source)
    not_told = {name: value for name, value in encoded.items() if name != "words"}
    message = "the model has a word_token, so its decoder needs `words`, and each step `words_read`"
    with pytest.raises(ValueError, match=message):
        model.decode(target, **not_told)
    caches = [ConcatenatingCache(own) for own in model.empty_cache(2, 0)]
    with pytest.raises(ValueError, match=message):
        model.decode_step(target, np.arange(3), caches, causal_mask(3), **encoded)


def test_a_model_without_word_token_has_no_words() -> None:
    with pytest.raises(ValueError, match="the model has no word_token, so its decoder is told no words"):
        Transformer(CONFIG).word_memory(with_words(2, 5), normal(2, 5, WIDTH))


def test_words_are_numbered_from_zero() -> None:
    words: WordMemory = built(WordPointer(WORD)).memory(np.array([[9, WORD, 7, WORD, 0]]), normal(1, 5, WIDTH))
    assert numpy(words.numbers).tolist() == [[-1, 0, 0, 1, 1]]
