"""The streams: their contents, order and first batch."""

import tempfile
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.lanes import Host
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import reporting_data_errors
from keras_nmt.pipelines.streaming.batching import BatchPlan
from keras_nmt.pipelines.streaming.stream import BATCH_SPEC, dataset_of, evaluation_stream, skipped_examples
from keras_nmt.pipelines.streaming.windows import TrainingData, Window
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD
from tests.pipelines.conftest import FIRST_ID, MakeData
from tests.pipelines.streaming.streams import (
    assert_machines_read_in_turn,
    batches_of,
    open_data,
    plan_first_epoch,
    training_stream,
)

MAX_LENGTH = 12
OPTIONS: dict[str, Any] = {"batch_tokens": 96, "max_length": MAX_LENGTH, "seed": 5, "window_pairs": 40}
Batch = tuple[dict[str, np.ndarray], np.ndarray]

corpora = st.lists(st.tuples(st.integers(2, MAX_LENGTH), st.integers(2, MAX_LENGTH)), min_size=1, max_size=120)
few = settings(deadline=None, max_examples=10)


@pytest.fixture(scope="module")
def data(make_data: MakeData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """150 pairs in 8 shards, so a window of 40 pairs has 2 shards."""
    lengths = np.random.default_rng(3).integers(2, MAX_LENGTH + 1, size=(150, 2))
    return make_data(tmp_path_factory.mktemp("stream") / "data", lengths.tolist(), shards=8)


@pytest.fixture(scope="module")
def in_lanes(make_data: MakeData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """320 pairs in 32 shards, so each of two windows of 160 pairs has two shards of each of 8 lanes."""
    lengths = np.random.default_rng(4).integers(2, MAX_LENGTH + 1, size=(320, 2))
    return make_data(tmp_path_factory.mktemp("stream") / "data", lengths.tolist(), shards=32)


def batches(stream: tf.data.Dataset, count: int) -> list[Batch]:
    return list(islice(stream.as_numpy_iterator(), count))


def epoch_of(data_dir: Path, epoch: int = 0, **options: Any) -> list[Batch]:
    options = OPTIONS | options
    stream = training_stream(data_dir, start_epoch=epoch, **options)
    return batches(stream, batches_of(data_dir, epoch, **options))


@cache
def beginning(data_dir: Path, epoch: int, window_pairs: int) -> list[Batch]:
    """Returns the first batches of an epoch, as many as the tests of positions need."""
    options = OPTIONS | {"window_pairs": window_pairs}
    return batches(training_stream(data_dir, start_epoch=epoch, **options), 44)


def pairs_in(epoch: list[Batch]) -> list[int]:
    """Returns the pairs in reading order, and checks that source and target belong together."""
    source = np.concatenate([inputs["source"][:, 0] for inputs, _ in epoch])
    target = np.concatenate([labels[:, 0] for _, labels in epoch])
    assert (source == target).all()
    return [int(first) - FIRST_ID for first in source if first != PAD]


def same(left: list[Batch], right: list[Batch]) -> bool:
    flat = [tf.nest.flatten(side) for side in (left, right)]
    return len(flat[0]) == len(flat[1]) and all(map(np.array_equal, *flat))


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for the data of many hypothesis examples."""
    with tempfile.TemporaryDirectory(dir=tmp_path_factory.mktemp("workshop")) as folder:
        yield Path(folder)


class TestTraining:
    def test_batches_keep_the_contract(self, data: Path) -> None:
        stream = training_stream(data, **OPTIONS)
        ids = tf.TensorSpec([None, None], tf.int32)
        assert stream.element_spec == ({"source": ids, "target": ids}, ids)
        for inputs, labels in epoch_of(data):
            source, target = inputs["source"], inputs["target"]
            assert source.shape[0] == labels.shape[0]
            assert target.shape == labels.shape
            for sentence in (*source, *labels):
                real = sentence[sentence != PAD]
                assert not real.size or (real[-1] == EOS and EOS not in real[:-1])
                assert (sentence[real.size :] == PAD).all()
            for read, said in zip(target, labels, strict=True):
                length = np.count_nonzero(said)
                assert read[:length].tolist() == [BOS, *said[: length - 1]][:length]
                assert not read[length:].any()

    @few
    @given(lengths=corpora, shards=st.integers(1, 6), tokens=st.integers(96, 300))
    def test_every_pair_is_read_once_an_epoch_within_the_budget(
        self, make_data: MakeData, workshop: Path, lengths: list[tuple[int, int]], shards: int, tokens: int
    ) -> None:
        data_dir = make_data(Path(tempfile.mkdtemp(dir=workshop)) / "data", lengths, shards)
        for epoch in (0, 1):
            found = epoch_of(data_dir, epoch, batch_tokens=tokens)
            assert sorted(pairs_in(found)) == list(range(len(lengths)))
            for inputs, labels in found:
                assert max(inputs["source"].size, labels.size) <= tokens
                assert labels.shape[0] % 8 == 0

    @few
    @given(batch=st.integers(0, 40), epoch=st.integers(0, 1))
    def test_a_stream_may_start_at_any_batch(self, data: Path, batch: int, epoch: int) -> None:
        resumed = batches(training_stream(data, start_epoch=epoch, start_batch=batch, **OPTIONS), 4)
        assert same(beginning(data, epoch, OPTIONS["window_pairs"])[batch : batch + 4], resumed)

    def test_windows_before_the_first_batch_are_not_planned(self, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        planned: list[Window] = []

        def plan(training: TrainingData, window: Window) -> list[BatchPlan]:
            planned.append(window)
            return plan_window(training, window)

        plan_window = TrainingData.plan
        ends = batches_of(data, **OPTIONS) + batches_of(data, 1, **OPTIONS)
        monkeypatch.setattr(TrainingData, "plan", plan)
        batches(training_stream(data, start_batch=ends - 1, **OPTIONS), 1)
        assert min((window.epoch, window.number) for window in planned) == (1, 3)

    def test_the_end_of_an_epoch_is_the_beginning_of_the_next(self, data: Path) -> None:
        end = batches_of(data, **OPTIONS)
        whole = batches(training_stream(data, **OPTIONS), end + 3)
        assert same(whole[end:], batches(training_stream(data, start_batch=end, **OPTIONS), 3))
        assert sorted(pairs_in(whole[:end])) == list(range(150))

    def test_the_plan_of_an_epoch_matches_its_batches(self, data: Path) -> None:
        planned = plan_first_epoch(data, **OPTIONS)
        for plan, (inputs, labels) in zip(planned, epoch_of(data), strict=True):
            assert plan.shape == (*inputs["source"].shape, labels.shape[1])
            assert plan.source_tokens == np.count_nonzero(inputs["source"])
            assert plan.target_tokens == np.count_nonzero(labels)

    def test_the_same_seed_gives_the_same_batches_and_another_gives_others(self, data: Path) -> None:
        assert same(epoch_of(data), epoch_of(data))
        assert pairs_in(epoch_of(data)) != pairs_in(epoch_of(data, seed=6))

    def test_each_epoch_has_another_order_and_other_batches(self, data: Path) -> None:
        first, second = epoch_of(data, 0), epoch_of(data, 1)
        assert pairs_in(first) != pairs_in(second)
        members = [{frozenset(pairs_in([batch])) for batch in epoch} for epoch in (first, second)]
        assert len(members[0] & members[1]) < len(members[0]) / 4

    @pytest.mark.parametrize("hosts", [2, 3, 8, pytest.param(16, marks=pytest.mark.slow)])
    def test_machines_divide_the_rows_of_a_batch(self, in_lanes: Path, hosts: int) -> None:
        assert_machines_read_in_turn(in_lanes, hosts, **OPTIONS | {"window_pairs": 160, "start_batch": 3})

    @pytest.mark.parametrize("hosts", [2, 4, 8])
    def test_a_machine_reads_no_shard_of_another(self, in_lanes: Path, tmp_path: Path, hosts: int) -> None:
        data_dir = tmp_path / "data"
        copytree(in_lanes, data_dir)
        for i, shard in enumerate(Manifest.load(data_dir).split("train").shards):
            if i % hosts != 1:
                (data_dir / shard.file).write_bytes(bytes(shard.bytes))
        options = OPTIONS | {"window_pairs": 160}
        mine = batches(training_stream(data_dir, host=Host(1, hosts), **options), 60)
        assert same(mine, batches(training_stream(in_lanes, host=Host(1, hosts), **options), 60))
        with pytest.raises(tf.errors.OpError, match="is corrupt or cut short"):
            batches(training_stream(data_dir, host=Host(0, hosts), **options), 1)

    def test_a_shard_stays_in_its_lane_in_each_epoch(self, in_lanes: Path) -> None:
        data = open_data(in_lanes, **OPTIONS | {"window_pairs": 160})
        orders = [[window.shards for window in data.windows(epoch)] for epoch in range(5)]
        assert len({str(order) for order in orders}) > 1
        for first, second in orders:
            assert sorted(first + second) == list(range(32))
            assert [shard % 8 for shard in first + second] == [*range(8)] * 4

    @pytest.mark.parametrize("window", [40, 80, 160, 1000])
    def test_the_batch_count_matches_the_plan(self, in_lanes: Path, window: int) -> None:
        data = open_data(in_lanes, **OPTIONS | {"window_pairs": window, "max_length": 10})
        for epoch in range(3):
            windows = data.windows(epoch)
            assert len(windows) == max(1, 320 // window)
            assert data.count(windows).tolist() == [len(data.plan(window)) for window in windows]

    @few
    @given(batch=st.integers(0, 40))
    def test_a_stream_of_lanes_may_start_at_any_batch(self, in_lanes: Path, batch: int) -> None:
        options = OPTIONS | {"window_pairs": 160}
        resumed = batches(training_stream(in_lanes, start_batch=batch, **options), 4)
        assert same(beginning(in_lanes, 0, 160)[batch : batch + 4], resumed)

    def test_machines_read_even_if_their_lanes_have_few_pairs(self, make_data: MakeData, tmp_path: Path) -> None:
        data_dir = make_data(tmp_path / "data", [(3, 4)] * 13, shards=16)  # three shards are empty
        options = OPTIONS | {"window_pairs": 160}
        read = [batches(training_stream(data_dir, host=Host(i, 8), **options), 1) for i in range(8)]
        assert sorted(pair for batch in read for pair in pairs_in(batch)) == list(range(13))

    @pytest.mark.parametrize("host", [Host(2, 2), Host(-1, 2), Host(0, 0)])
    def test_a_machine_number_out_of_range_is_refused(self, data: Path, host: Host) -> None:
        with pytest.raises(DataError, match=r"machine -?\d of \d: machines count from 0"):
            training_stream(data, host=host, **OPTIONS)

    @pytest.mark.parametrize("epoch", [0, 1])
    def test_pairs_are_shuffled_far_and_apart_from_their_neighbours(
        self, make_data: MakeData, tmp_path: Path, epoch: int
    ) -> None:
        """With 3,000 randomly shuffled pairs, correlations are within 0.06 in 999 of 1,000 cases."""
        lengths = np.random.default_rng(1).integers(2, MAX_LENGTH + 1, size=(3000, 2))
        data_dir = make_data(tmp_path / "data", lengths.tolist(), shards=12)
        found = epoch_of(data_dir, epoch, batch_tokens=960, window_pairs=750)
        before, after = np.arange(3000), np.argsort(pairs_in(found))  # the new places of pairs 0, 1, ...
        assert abs(np.corrcoef(before, after)[0, 1]) < 0.06
        assert np.abs(before - after).mean() == pytest.approx(1000, abs=50)  # as in a random order
        neighbours = [np.count_nonzero(np.diff(np.sort(pairs_in([batch]))) == 1) for batch in found]
        assert sum(neighbours) < 3000 * 0.06  # about half of that is expected by chance in 40 batches
        assert max(neighbours) <= 10

    def test_the_order_of_batches_does_not_follow_length(self, data: Path) -> None:
        widths = [labels.shape[1] for _, labels in epoch_of(data, window_pairs=1000)]
        assert widths != sorted(widths)
        assert widths != sorted(widths, reverse=True)

    def test_smaller_windows_give_more_batches(self, data: Path) -> None:
        """Each window ends in a partly filled batch, so one window has the fewest."""
        counts = [batches_of(data, **OPTIONS | {"window_pairs": size}) for size in (1, 40, 1000)]
        assert counts[0] > counts[1] > counts[2]

    def test_longer_pairs_are_skipped_and_counted(self, make_data: MakeData, tmp_path: Path) -> None:
        data_dir = make_data(tmp_path / "data", [(3, 4), (12, 4), (4, 13), (5, 5)])
        found = epoch_of(data_dir, max_length=11)
        assert sorted(pairs_in(found)) == [0, 3]
        assert skipped_examples(data_dir, max_length=11) == 2

    def test_empty_shards_are_ignored(self, make_data: MakeData, tmp_path: Path) -> None:
        data_dir = make_data(tmp_path / "data", [(3, 4), (4, 4)], shards=5)
        assert sorted(pairs_in(epoch_of(data_dir, window_pairs=1))) == [0, 1]

    def test_little_of_a_real_corpus_is_padding(self, prepared: Path) -> None:
        options = {"batch_tokens": 4096, "max_length": 128, "seed": 0}
        epoch = batches(training_stream(prepared, **options), batches_of(prepared, **options))
        cells = sum(inputs["source"].size + labels.size for inputs, labels in epoch)
        real = sum(np.count_nonzero(inputs["source"]) + np.count_nonzero(labels) for inputs, labels in epoch)
        assert 1 - real / cells < 0.15

    def test_a_maximum_length_below_every_pair_is_refused(self, data: Path) -> None:
        with pytest.raises(
            DataError, match=r"every pair of split 'train' .* more than 1 tokens on a side; use a larger"
        ):
            training_stream(data, **OPTIONS | {"max_length": 1})

    def test_a_budget_too_small_is_refused_before_the_first_batch(self, data: Path) -> None:
        with pytest.raises(DataError, match="batch of 64 tokens does not hold 8 sentences of 12 tokens"):
            training_stream(data, **OPTIONS | {"batch_tokens": 64})

    def test_a_negative_first_batch_is_refused(self, data: Path) -> None:
        with pytest.raises(DataError, match="a stream starts at batch 0 or later, not at -1"):
            training_stream(data, start_batch=-1, **OPTIONS)

    def test_a_negative_seed_is_refused(self, data: Path) -> None:
        with pytest.raises(DataError, match="seed must not be negative, got -1"):
            training_stream(data, **OPTIONS | {"seed": -1})

    def test_a_shard_damaged_while_it_streams_is_named(self, make_data: MakeData, tmp_path: Path) -> None:
        data_dir = make_data(tmp_path / "data", [(3, 4)] * 30, shards=1)
        shard = data_dir / "train-00000-of-00001.tfrecord"
        contents = bytearray(shard.read_bytes())
        contents[200] ^= 0xFF
        shard.write_bytes(contents)
        stream = training_stream(data_dir, **OPTIONS)
        with (
            pytest.raises(
                DataError, match=r"train-00000-of-00001\.tfrecord is corrupt or cut short; run nmt prepare again$"
            ),
            reporting_data_errors(),
        ):
            next(iter(stream))


class TestEvaluation:
    def test_each_pair_is_read_once_the_longest_first(self, data: Path) -> None:
        found = list(evaluation_stream(data, "train", batch_tokens=96, max_length=MAX_LENGTH).as_numpy_iterator())
        assert sorted(pairs_in(found)) == list(range(150))
        widths = [max(inputs["source"].shape[1], labels.shape[1]) for inputs, labels in found]
        assert widths == sorted(widths, reverse=True)
        assert all(max(inputs["source"].size, labels.size) <= 96 for inputs, labels in found)

    def test_the_order_is_the_same_each_time(self, prepared: Path) -> None:
        stream = evaluation_stream(prepared, batch_tokens=2048, max_length=64)
        first, again = (list(stream.as_numpy_iterator()) for _ in range(2))
        assert same(first, again)

    def test_an_unknown_split_is_reported_with_the_known_ones(self, data: Path) -> None:
        with pytest.raises(DataError, match="has no split 'dev'; it has train"):
            evaluation_stream(data, batch_tokens=96, max_length=12)


def test_autotuning_is_off_and_cannot_delay_the_end() -> None:
    assert dataset_of(lambda: iter(()), BATCH_SPEC).prefetch(1).options().autotune.enabled is False
