"""Packed batches: their contents, their one shape, and independence of position and machines."""

import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import read_tokens
from keras_nmt.pipelines.shards.splits import MixedCorpus, Shard, Split
from keras_nmt.pipelines.streaming.batching import BatchShape
from keras_nmt.pipelines.streaming.packed_batches import pack_rows, unpacked_sentences
from keras_nmt.pipelines.streaming.packing import PackedPlan, pack_batches, packed_shape
from keras_nmt.pipelines.streaming.stream import batch_spec
from keras_nmt.pipelines.streaming.windows import TrainingData, Window
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, Vocabulary
from tests.pipelines.conftest import FIRST_ID, MakeData
from tests.pipelines.streaming.streams import (
    assert_machines_read_in_turn,
    batches_of,
    open_data,
    plan_first_epoch,
    training_stream,
)

MAX_LENGTH = 12
OPTIONS: dict[str, Any] = {
    "batch_tokens": 300,
    "max_length": MAX_LENGTH,
    "seed": 5,
    "window_pairs": 160,
    "packed": True,
}
Batch = tuple[dict[str, np.ndarray], np.ndarray]

corpora = st.lists(st.tuples(st.integers(2, MAX_LENGTH), st.integers(2, MAX_LENGTH)), min_size=1, max_size=120)
few = settings(deadline=None, max_examples=10)


@pytest.fixture(scope="module")
def data(make_data: MakeData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 pairs in 32 shards: two windows of 8 lanes. Corpus 1 begins at pair 200; pair i has loss weight i / 100."""
    lengths = np.random.default_rng(4).integers(2, MAX_LENGTH + 1, size=(320, 2))
    data = make_data(tmp_path_factory.mktemp("packing") / "data", lengths.tolist(), shards=32)
    for shard in Manifest.load(data).split("train").shards:
        tokens = read_tokens(data, [shard])
        pairs = tokens.values[0][tokens.starts[:, 0]] - FIRST_ID
        np.save(data / shard.corpus_file, (pairs >= 200).astype(np.uint8))
        np.save(data / shard.weights_file, (pairs / 100).astype(np.float32))
    return data


@pytest.fixture
def weighted(data: Path) -> Iterator[Path]:
    """The same data as two corpora with weights 2 and 0.5, with loss weights."""
    manifest = Manifest.load(data)
    mixed = (MixedCorpus("first", 200, 2.0), MixedCorpus("second", 120, 0.5))
    train = replace(manifest.split("train"), corpora=mixed, has_loss_weights=True)
    replace(manifest, splits={"train": train}).save()
    yield data
    manifest.save()


def batches(data_dir: Path, count: int, **options: Any) -> list[Any]:
    return list(islice(training_stream(data_dir, **OPTIONS | options).as_numpy_iterator(), count))


def epoch_of(data_dir: Path, epoch: int = 0, **options: Any) -> list[Any]:
    return batches(data_dir, batches_of(data_dir, epoch, **OPTIONS | options), start_epoch=epoch, **options)


@cache
def beginning(data_dir: Path, epoch: int) -> list[Any]:
    """Returns the first batches of an epoch, as many as the test of positions needs."""
    return batches(data_dir, 44, start_epoch=epoch)


def pairs_in(epoch: Sequence[Any]) -> list[int]:
    """Returns the pairs in reading order, and checks that source and target belong together."""
    found: list[int] = []
    for inputs, labels, *_ in epoch:
        source, target = unpacked_sentences(inputs, labels)
        assert np.array_equal(source[:, 0], target[:, 0])
        found += (source[:, 0] - FIRST_ID).tolist()
    return found


def same(left: list[Any], right: list[Any]) -> bool:
    flat = [tf.nest.flatten(side) for side in (left, right)]
    return len(flat[0]) == len(flat[1]) and all(map(np.array_equal, *flat))


@few
@given(lengths=corpora, shards=st.integers(1, 8), tokens=st.integers(96, 3000))
def test_every_pair_is_read_once_an_epoch_within_the_budget_in_one_shape(
    make_data: MakeData, tmp_path_factory: pytest.TempPathFactory, lengths: Any, shards: int, tokens: int
) -> None:
    with tempfile.TemporaryDirectory(dir=tmp_path_factory.getbasetemp()) as folder:
        data_dir = make_data(Path(folder) / "data", lengths, shards)
        shape = packed_shape(Manifest.load(data_dir).split("train"), batch_tokens=tokens, max_length=MAX_LENGTH)
        for epoch in (0, 1):
            found = epoch_of(data_dir, epoch, batch_tokens=tokens)
            assert sorted(pairs_in(found)) == list(range(len(lengths)))
            assert {(*inputs["source"].shape, labels.shape[1]) for inputs, labels in found} == {shape}
        assert max(shape.source_length, shape.target_length) * shape.rows <= tokens
        assert shape.rows % 8 == 0


def test_each_pair_of_a_row_keeps_the_contract(data: Path) -> None:
    assert training_stream(data, **OPTIONS).element_spec == batch_spec(Manifest.load(data), packed=True)
    for inputs, labels in epoch_of(data):
        assert set(inputs) == {"source", "source_segments", "target", "target_segments"}
        assert all(ids.dtype == np.int32 for ids in (*inputs.values(), labels))
        assert np.array_equal(inputs["source"] != PAD, inputs["source_segments"] != 0)
        assert np.array_equal(labels != PAD, inputs["target_segments"] != 0)
        assert np.array_equal(inputs["target"] != PAD, labels != PAD)
        for row in range(len(labels)):
            pairs = inputs["source_segments"][row].max()
            assert set(inputs["target_segments"][row]) - {0} == set(range(1, pairs + 1))
            for segment in range(1, pairs + 1):
                own = inputs["target_segments"][row] == segment
                said = labels[row, own].tolist()
                assert inputs["target"][row, own].tolist() == [BOS, *said[:-1]]
                source = inputs["source"][row, inputs["source_segments"][row] == segment].tolist()
                assert said[-1] == source[-1] == EOS
                assert EOS not in said[:-1] + source[:-1]


@few
@given(batch=st.integers(0, 40), epoch=st.integers(0, 1))
def test_a_stream_may_start_at_any_batch(data: Path, batch: int, epoch: int) -> None:
    resumed = batches(data, 4, start_epoch=epoch, start_batch=batch)
    assert same(beginning(data, epoch)[batch : batch + 4], resumed)


def test_tokens_before_the_first_batch_are_not_read(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    epochs = batches_of(data, 0, **OPTIONS) + batches_of(data, 1, **OPTIONS)
    expected = batches(data, epochs + 1)[epochs:]
    read: list[Shard] = []

    def counted(data_dir: Path, shards: Sequence[Shard], **options: Any) -> Any:
        read.extend(shards)
        return read_tokens(data_dir, shards, **options)

    monkeypatch.setattr("keras_nmt.pipelines.streaming.window_reading.read_tokens", counted)
    assert same(batches(data, 1, start_batch=epochs), expected)
    assert len(read) <= 3 * 16  # only windows read ahead; the skipped ones have 64 shards


@pytest.mark.parametrize(("window", "planned"), [(160, 20), (1000, 1)])
def test_batches_are_counted_once_for_windows_of_the_same_shards(
    data: Path, monkeypatch: pytest.MonkeyPatch, window: int, planned: int
) -> None:
    training = open_data(data, **OPTIONS | {"window_pairs": window})
    windows = [window for epoch in range(10) for window in training.windows(epoch)]
    expected = [len(training.plan(window)) for window in windows]
    plans: list[Window] = []
    plan = TrainingData.plan
    monkeypatch.setattr(TrainingData, "plan", lambda self, window: plans.append(window) or plan(self, window))
    assert training.count(windows).tolist() == expected
    assert len(plans) <= planned


@pytest.mark.parametrize("alpha", [0.0, 0.3])
def test_the_plan_of_an_epoch_matches_its_batches(prepared: Path, alpha: float) -> None:
    options = {"batch_tokens": 4096, "max_length": 64, "seed": 3, "packed": True, "sampling_alpha": alpha}
    planned = plan_first_epoch(prepared, **options)
    found = list(islice(training_stream(prepared, **options).as_numpy_iterator(), len(planned)))
    tokens = [(np.count_nonzero(inputs["source"]), np.count_nonzero(labels)) for inputs, labels in found]
    expected = [(plan.source_tokens, plan.target_tokens) for plan in planned]
    assert tokens == pytest.approx(np.array(expected), rel=0.15 if alpha else 1e-9)
    assert {plan.shape for plan in planned} == {(*found[0][0]["source"].shape, found[0][1].shape[1])}


def test_little_of_a_real_corpus_is_padding(prepared: Path) -> None:
    options: dict[str, Any] = {"batch_tokens": 4096, "max_length": 64, "seed": 0}
    (share, of_like_lengths) = (padding(prepared, **options, packed=packed) for packed in (True, False))
    assert share < 0.08
    assert share < of_like_lengths


@pytest.mark.parametrize(("pairs", "mean", "max_length"), [(100_000, 10, 64), (60_000, 30, 128), (60_000, 30, 256)])
def test_little_of_a_large_batch_is_padding(pairs: int, mean: int, max_length: int) -> None:
    random = np.random.default_rng(2)
    source = random.lognormal(np.log(mean), 0.6, pairs)
    target = source * random.lognormal(np.log(1.1), 0.2, pairs)
    lengths = np.clip(np.stack([source, target], axis=1), 2, max_length).astype(np.int32)
    tokens, longest = lengths.sum(axis=0).tolist(), lengths.max(axis=0).tolist()
    shape = packed_shape(split_of(*tokens, (longest[0], longest[1])), batch_tokens=25_000, max_length=max_length)
    lanes = [np.arange(lane, pairs, 8) for lane in range(8)]
    plans = pack_batches(lengths, lanes, shape, max_length=max_length, random=random)
    positions = len(plans) * shape.rows * (shape.source_length + shape.target_length)
    assert 1 - sum(tokens) / positions < 0.05


def padding(data_dir: Path, **options: Any) -> float:
    epoch = plan_first_epoch(data_dir, **options)
    real = sum(batch.source_tokens + batch.target_tokens for batch in epoch)
    return 1 - real / sum(s.rows * (s.source_length + s.target_length) for s, *_ in epoch)


def test_epochs_differ_and_follow_from_the_seed(data: Path) -> None:
    first, second = epoch_of(data), epoch_of(data, 1)
    assert pairs_in(first) != pairs_in(second)
    assert same(first, epoch_of(data))
    assert pairs_in(first) != pairs_in(epoch_of(data, seed=6))


@pytest.mark.parametrize("hosts", [2, 3, *(pytest.param(hosts, marks=pytest.mark.slow) for hosts in (8, 16))])
def test_machines_divide_the_rows_of_a_batch(data: Path, hosts: int) -> None:
    assert_machines_read_in_turn(data, hosts, batches=20, **OPTIONS | {"start_batch": 3})


@pytest.mark.parametrize("hosts", [3, pytest.param(2, marks=pytest.mark.slow)])
def test_machines_draw_the_same_segmentations_as_one_machine(prepared: Path, hosts: int) -> None:
    options = {"batch_tokens": 4096, "max_length": 64, "seed": 3, "packed": True, "sampling_alpha": 0.3}
    assert_machines_read_in_turn(prepared, hosts, batches=5, **options)


def test_drawn_segmentations_spell_the_stored_texts(prepared: Path) -> None:
    options = {"batch_tokens": 4096, "max_length": 64, "seed": 3, "packed": True}
    drawn, stored = ({"sampling_alpha": alpha} for alpha in (0.3, 0.0))
    (ours, more), (theirs, fewer) = (
        texts_and_tokens(
            prepared, training_stream(prepared, **options, **alpha), len(plan_first_epoch(prepared, **options, **alpha))
        )
        for alpha in (drawn, stored)
    )
    assert ours == theirs
    assert more > 1.1 * fewer


def texts_and_tokens(data_dir: Path, stream: tf.data.Dataset, count: int) -> tuple[Counter[Any], int]:
    vocabulary = Vocabulary.load(data_dir / "vocabulary.model")
    texts: Counter[Any] = Counter()
    tokens = 0
    for inputs, labels in stream.take(count).as_numpy_iterator():
        sides = (vocabulary.decode(ids).numpy().tolist() for ids in unpacked_sentences(inputs, labels))
        texts.update(zip(*sides, strict=True))
        tokens += np.count_nonzero(labels)
    return texts, tokens


def test_pairs_of_a_mixture_come_as_often_as_the_weight_of_their_corpus(weighted: Path) -> None:
    counts = Counter(pairs_in(epoch_of(weighted)))
    assert {counts[pair] for pair in range(200)} == {2}
    assert {counts[pair] for pair in range(200, 320)} == {0, 1}
    assert sum(counts[pair] for pair in range(200, 320)) == pytest.approx(60, abs=8)
    whole = batches(weighted, 20)
    assert same(whole[16:], batches(weighted, 4, start_batch=16))


def test_each_target_token_has_the_loss_weight_of_its_pair(weighted: Path) -> None:
    stream = training_stream(weighted, **OPTIONS)
    assert stream.element_spec == batch_spec(Manifest.load(weighted), packed=True)
    for inputs, labels, weights in stream.take(5).as_numpy_iterator():
        assert (weights.shape, weights.dtype) == (labels.shape, np.float32)
        for row, segments in enumerate(inputs["target_segments"]):
            assert not weights[row, segments == 0].any()
            for segment in range(1, segments.max() + 1):
                own = segments == segment
                pair = labels[row, own][0] - FIRST_ID
                assert set(weights[row, own]) == {np.float32(pair / 100)}


def test_longer_pairs_are_skipped(make_data: MakeData, tmp_path: Path) -> None:
    data_dir = make_data(tmp_path / "data", [(3, 4), (12, 4), (4, 13), (5, 5)])
    assert sorted(pairs_in(epoch_of(data_dir, max_length=11))) == [0, 3]


def test_a_budget_too_small_is_refused(data: Path) -> None:
    with pytest.raises(DataError, match="batch of 64 tokens does not hold 8 sentences of 12 tokens"):
        training_stream(data, **OPTIONS | {"batch_tokens": 64})


def split_of(source_tokens: int, target_tokens: int, longest: tuple[int, int]) -> Split:
    return Split((Shard("a", 100, source_tokens, target_tokens, *longest, bytes=0, sha256=""),), (), {}, ())


@pytest.mark.parametrize(
    ("split", "sizes", "shape"),
    [
        (split_of(1_000_000, 1_100_000, (256, 256)), (25_000, 256), (80, 256, 288)),  # the example of the docstring
        (split_of(1_000_000, 1_100_000, (30, 256)), (25_000, 256), (96, 240, 256)),  # sources are shorter than targets
        (split_of(1_000_000, 1_000_000, (20, 20)), (25_000, 64), (192, 128, 128)),  # rows have a minimum width
        (split_of(1_000_000, 5_000_000, (99, 99)), (1000, 99), (8, 104, 125)),  # no wider than the budget allows
    ],
)
def test_the_shape_follows_from_the_lengths_of_the_data(
    split: Split, sizes: tuple[int, int], shape: tuple[int, int, int]
) -> None:
    assert packed_shape(split, batch_tokens=sizes[0], max_length=sizes[1]) == shape


def test_rows_hold_drawn_segmentations_of_the_maximum_length() -> None:
    shape = packed_shape(
        split_of(1_000_000, 1_000_000, (150, 150)), batch_tokens=9000, max_length=200, sampling_alpha=0.1
    )
    assert shape == BatchShape(40, 200, 200)


def test_the_emptiest_rows_get_the_longest_pairs() -> None:
    """Tests the worked example of the module."""
    lengths = np.array([(6, 5), (4, 4), (3, 4), (2, 2), (1, 1)], np.int32)
    plans = pack_batches(lengths, [np.arange(5)], BatchShape(2, 8, 8), max_length=8, random=np.random.default_rng(0))
    rows = [sorted(plan.pairs[plan.rows == row].tolist()) for plan in plans for row in (0, 1)]
    assert sorted(rows) == [[], [0, 3], [1, 2], [4]]


def test_two_pairs_share_a_row_as_in_the_worked_example() -> None:
    plan = PackedPlan(
        pairs=np.array([0, 1]),
        rows=np.array([0, 0]),
        segments=np.array([1, 2]),
        starts=np.array([[0, 0], [3, 2]]),
        room=np.array([[3, 2], [2, 2]], np.int32),
        shape=BatchShape(1, 6, 5),
    )
    source = np.array([[7, 8, EOS], [6, EOS, PAD]], np.int32)
    target, labels = np.array([[BOS, 9], [BOS, 5]], np.int32), np.array([[9, EOS], [5, EOS]], np.int32)
    inputs, packed, *_ = pack_rows(plan, ({"source": source, "target": target}, labels))
    assert inputs["source"].tolist() == [[7, 8, EOS, 6, EOS, PAD]]
    assert inputs["source_segments"].tolist() == [[1, 1, 1, 2, 2, 0]]
    assert inputs["target"].tolist() == [[BOS, 9, BOS, 5, PAD]]
    assert inputs["target_segments"].tolist() == [[1, 1, 2, 2, 0]]
    assert packed.tolist() == [[9, EOS, 5, EOS, PAD]]
    assert [side.tolist() for side in unpacked_sentences(inputs, packed)] == [source.tolist(), labels.tolist()]
