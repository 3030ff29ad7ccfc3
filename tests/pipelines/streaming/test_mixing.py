"""Mixed corpora and loss weights: how often a pair is read, its weight, and that streams resume."""

from collections import Counter
from collections.abc import Callable, Sequence
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
from keras_nmt.pipelines.shards.buckets import Rows
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import read_tokens
from keras_nmt.pipelines.shards.splits import MixedCorpus, Split
from keras_nmt.pipelines.streaming.mixing import Mixture
from keras_nmt.pipelines.streaming.stream import BATCH_SPEC, batch_spec, evaluation_stream
from keras_nmt.pipelines.vocabulary.tokenizer import PAD
from tests.pipelines.conftest import FIRST_ID, MakeData
from tests.pipelines.streaming.streams import assert_machines_read_in_turn, batches_of, open_data, training_stream

PAIRS, FIRST_CORPUS = 150, 110  # all pairs, and those of the first of two corpora
OPTIONS: dict[str, Any] = {"batch_tokens": 96, "max_length": 12, "seed": 5, "window_pairs": 40}

Mix = Callable[..., Path]


@pytest.fixture(scope="module")
def mix(make_data: MakeData, tmp_path_factory: pytest.TempPathFactory) -> Mix:
    """Returns a function that writes 150 pairs of two corpora with given weights; pair i has loss weight i / 100."""

    def make(*weights: float, loss_weights: bool = False) -> Path:
        lengths = np.random.default_rng(3).integers(2, 13, size=(PAIRS, 2))
        data = make_data(tmp_path_factory.mktemp("mixed") / "data", lengths.tolist(), shards=8)
        manifest = Manifest.load(data)
        for shard in manifest.split("train").shards:
            tokens = read_tokens(data, [shard])
            pairs = tokens.values[0][tokens.starts[:, 0]] - FIRST_ID
            np.save(data / shard.corpus_file, (pairs >= FIRST_CORPUS).astype(np.uint8))
            np.save(data / shard.weights_file, (pairs / 100).astype(np.float32))
        mixed = (
            MixedCorpus("first", FIRST_CORPUS, weights[0]),
            MixedCorpus("second", PAIRS - FIRST_CORPUS, weights[1]),
        )
        train = replace(manifest.split("train"), corpora=mixed, has_loss_weights=loss_weights)
        replace(manifest, splits={"train": train}).save()
        return data

    return make


def taken(data: Path, epoch: int = 0, **options: Any) -> Counter[int]:
    """Returns how many times an epoch contains each pair."""
    options = OPTIONS | options
    stream = training_stream(data, start_epoch=epoch, **options)
    batches = islice(stream.as_numpy_iterator(), batches_of(data, epoch, **options))
    return Counter(int(first) - FIRST_ID for _, labels, *_ in batches for first in labels[:, 0] if first != PAD)


def split_of(pairs: Sequence[int], weights: Sequence[float]) -> Split:
    corpora = tuple(MixedCorpus(f"corpus {i}", n, w) for i, (n, w) in enumerate(zip(pairs, weights, strict=True)))
    return Split((), (), {}, (), corpora=corpora)


def test_an_integer_weight_repeats_each_pair_and_a_fraction_repeats_some(mix: Mix) -> None:
    counts = taken(mix(2, 1.5))
    assert {counts[pair] for pair in range(FIRST_CORPUS)} == {2}
    assert {counts[pair] for pair in range(FIRST_CORPUS, PAIRS)} == {1, 2}
    assert 50 <= sum(counts[pair] for pair in range(FIRST_CORPUS, PAIRS)) <= 70


def test_with_a_weight_of_one_half_each_epoch_reads_another_half(mix: Mix) -> None:
    data = mix(1, 0.5)
    epochs = [taken(data, epoch) for epoch in range(12)]
    assert all({counts[pair] for pair in range(FIRST_CORPUS)} == {1} for counts in epochs)
    halves = [{pair for pair in range(FIRST_CORPUS, PAIRS) if counts[pair]} for counts in epochs]
    assert all(10 <= len(half) <= 30 for half in halves)
    assert len({frozenset(half) for half in halves}) == 12
    assert set.union(*halves) == set(range(FIRST_CORPUS, PAIRS))


def test_weights_of_one_change_nothing(mix: Mix) -> None:
    mixed, plain = mix(1, 1), mix(1, 1)
    manifest = Manifest.load(plain)
    replace(manifest, splits={"train": replace(manifest.split("train"), corpora=())}).save()
    streams = (islice(training_stream(data, **OPTIONS).as_numpy_iterator(), 60) for data in (mixed, plain))
    for ours, theirs in zip(*streams, strict=True):
        assert all(map(np.array_equal, tf.nest.flatten(ours), tf.nest.flatten(theirs)))


@pytest.mark.parametrize("weight", [0, 1e-30])
def test_data_without_usable_loss_weights_is_refused(mix: Mix, weight: float) -> None:
    data = mix(1, 1, loss_weights=True)
    shards = Manifest.load(data).split("train").shards
    for shard in shards:
        np.save(data / shard.weights_file, np.full(shard.examples, weight, np.float32))
    with pytest.raises(DataError, match=r"no pair counts in the loss: .*, and run nmt prepare again"):
        training_stream(data, **OPTIONS)
    longest = np.load(data / shards[-1].lengths_file).max(axis=1)
    weights = np.full(shards[-1].examples, weight, np.float32)
    weights[longest.argmax()] = 1
    np.save(data / shards[-1].weights_file, weights)
    assert training_stream(data, **OPTIONS)
    with pytest.raises(DataError, match="no pair counts in the loss"):
        training_stream(data, **OPTIONS | {"max_length": int(longest.max()) - 1})


def test_weights_that_leave_only_pairs_that_are_too_long_are_refused(mix: Mix) -> None:
    data = mix(1, 1e-9)
    for shard in Manifest.load(data).split("train").shards:
        is_short = np.load(data / shard.lengths_file).max(axis=1) <= 8
        np.save(data / shard.corpus_file, is_short.astype(np.uint8))
    with pytest.raises(DataError, match=r"an epoch has \S+ pairs of at most 8 tokens; give larger weights and run"):
        training_stream(data, **OPTIONS | {"max_length": 8})
    assert taken(data)


def test_weights_that_repeat_pairs_too_often_are_refused() -> None:
    assert Mixture.of(split_of([10, 1000], [5000, 1]), 1)
    with pytest.raises(DataError, match=r"take a pair 1,000,000,000 times an epoch on average, and the maximum is 100"):
        Mixture.of(split_of([10, 1000], [1e9, 1e9]), 1)


@pytest.mark.parametrize("temperature", [1e-300, 1e-3, 1e300])
def test_a_temperature_keeps_the_length_of_an_epoch(temperature: float) -> None:
    mixture = Mixture.of(split_of([10, 0, 1000, 1], [1, 1, 1, 2]), temperature)
    assert mixture is not None
    assert mixture.rates @ np.array([10, 0, 1000, 1]) == pytest.approx(1012)


def test_a_corpus_of_weight_0_is_left_out(mix: Mix) -> None:
    assert set(taken(mix(1, 0))) == set(range(FIRST_CORPUS))


@pytest.fixture(scope="module")
def weighted(mix: Mix) -> Path:
    return mix(1.7, 0.4, loss_weights=True)


@cache
def beginning(data: Path) -> list[Any]:
    """Returns the first batches, as many as the test of positions needs."""
    return list(islice(training_stream(data, **OPTIONS | {"corpus_temperature": 3.0}).as_numpy_iterator(), 63))


@settings(deadline=None, max_examples=10)
@given(batch=st.integers(0, 60))
def test_a_stream_of_a_mixture_may_start_at_any_batch(weighted: Path, batch: int) -> None:
    options = OPTIONS | {"corpus_temperature": 3.0}
    whole = beginning(weighted)[batch : batch + 3]
    resumed = islice(training_stream(weighted, start_batch=batch, **options).as_numpy_iterator(), 3)
    for ours, theirs in zip(whole, resumed, strict=True):
        assert all(map(np.array_equal, tf.nest.flatten(ours), tf.nest.flatten(theirs)))


def test_a_batch_has_the_loss_weight_of_each_row_and_0_for_empty_rows(weighted: Path) -> None:
    stream = training_stream(weighted, **OPTIONS)
    assert stream.element_spec == batch_spec(Manifest.load(weighted))
    assert stream.element_spec[2] == tf.TensorSpec([None], tf.float32)
    empty = 0
    for _, labels, weights in islice(stream.as_numpy_iterator(), 60):
        pairs = np.where(labels[:, 0] == PAD, 0, labels[:, 0] - FIRST_ID)
        assert np.array_equal(weights, (pairs / 100).astype(np.float32))
        empty += np.count_nonzero(labels[:, 0] == PAD)
    assert empty


def test_windows_of_a_mixture_before_the_first_batch_are_not_drawn(
    weighted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    epochs = [batches_of(weighted, epoch, **OPTIONS) for epoch in range(3)]
    whole = islice(training_stream(weighted, **OPTIONS).as_numpy_iterator(), sum(epochs), sum(epochs) + 1)
    expected = next(whole)
    drawn: list[int] = []
    draw = Mixture.draw

    def counted(mixture: Mixture, rows: Rows, *arguments: Any) -> Rows:
        drawn.append(len(rows))
        return draw(mixture, rows, *arguments)

    monkeypatch.setattr(Mixture, "draw", counted)
    resumed = next(training_stream(weighted, start_batch=sum(epochs), **OPTIONS).as_numpy_iterator())
    assert all(map(np.array_equal, tf.nest.flatten(resumed), tf.nest.flatten(expected)))
    assert 0 < sum(drawn) < 300  # only windows read ahead; the skipped ones have 450 pairs


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 9)), max_size=200), st.integers(0, 99))
def test_the_number_of_drawn_pairs_by_corpus_and_length_equals_the_count(
    pairs: list[tuple[int, int]], seed: int
) -> None:
    mixture = Mixture(np.array([0.4, 1.0, 2.3]))
    random = np.random.default_rng(seed)
    offsets = mixture.offsets(random, lanes=2)
    corpora, buckets = np.array(pairs, np.uint8).reshape(-1, 2).T
    drawn = mixture.draw(np.arange(len(pairs)), corpora, buckets, offsets[1])
    there, taken_of_each = (
        np.bincount(c * 10 + b.astype(int), minlength=30).reshape(3, 10)
        for c, b in ((corpora, buckets), (corpora[drawn], buckets[drawn]))
    )
    assert (mixture.count(np.stack([there * 0, there]), offsets) == [there * 0, taken_of_each]).all()
    up_to_each = np.cumsum(there, axis=1) * mixture.rates[:, None]
    assert (abs(np.cumsum(taken_of_each, axis=1) - up_to_each) < 1).all()  # every length gets its share
    times = np.bincount(drawn, minlength=len(pairs))
    assert (times >= np.floor(mixture.rates)[corpora]).all()
    assert (times <= np.ceil(mixture.rates)[corpora]).all()


def test_the_worked_example_of_the_module_is_true() -> None:
    rows, corpora, buckets = np.arange(8), np.array([0, 1] * 4, np.uint8), np.array([9, 9, 5, 5, 7, 7, 3, 3], np.uint8)
    drawn = Mixture(np.array([0.5, 1.5])).draw(rows, corpora, buckets, np.array([0.3, 0.3]))
    assert drawn.tolist() == [2, 0, 7, 3, 3, 5, 1, 1]  # from short to long: 6 2 4 0 and 7 3 5 1


def test_lanes_take_pairs_of_small_corpora_at_different_times() -> None:
    mixture, random = Mixture(np.array([0.3])), np.random.default_rng(0)
    of_all_lanes = [mixture.count(np.full((8, 1, 1), 3), mixture.offsets(random, 8)).sum() for _ in range(200)]
    assert np.mean(of_all_lanes) == pytest.approx(8 * 3 * 0.3, abs=0.1)
    assert set(of_all_lanes) <= {7, 8}


def test_the_batch_count_of_a_mixture_matches_the_plan(make_data: MakeData, tmp_path: Path) -> None:
    """Each window has two shards of each of 8 lanes."""
    lengths = np.random.default_rng(7).integers(2, 15, size=(600, 2))
    manifest = Manifest.load(make_data(tmp_path / "data", lengths.tolist(), shards=32))
    for number, shard in enumerate(manifest.split("train").shards):
        np.save(manifest.data_dir / shard.corpus_file, np.arange(shard.examples).astype(np.uint8) * number % 3)
    corpora = tuple(MixedCorpus(f"corpus {i}", 200, weight) for i, weight in enumerate((0.3, 1.0, 2.6)))
    replace(manifest, splits={"train": replace(manifest.split("train"), corpora=corpora)}).save()
    sizes = {"batch_tokens": 96, "max_length": 12, "window_pairs": 304}
    data = open_data(manifest.data_dir, seed=1, corpus_temperature=2.0, **sizes)
    for epoch in range(5):
        windows = data.windows(epoch)
        assert [len(window.shards) for window in windows] == [16, 16]
        assert data.count(windows).tolist() == [len(data.plan(window)) for window in windows]


@pytest.mark.parametrize("hosts", [2, 3])
def test_machines_divide_the_rows_and_weights_of_a_batch(weighted: Path, hosts: int) -> None:
    assert_machines_read_in_turn(weighted, hosts, **OPTIONS | {"window_pairs": 80})


def test_batches_without_weights_stay_pairs(mix: Mix, weighted: Path) -> None:
    data = mix(2, 1)
    assert training_stream(data, **OPTIONS).element_spec == batch_spec(Manifest.load(data)) == BATCH_SPEC
    assert evaluation_stream(weighted, "train", batch_tokens=96, max_length=12).element_spec == BATCH_SPEC


def test_a_temperature_samples_the_small_corpus_more_often_in_epochs_of_the_same_length(mix: Mix) -> None:
    data = mix(1, 1)
    warm = [taken(data, epoch, corpus_temperature=5.0) for epoch in range(4)]
    second = sum(counts[pair] for counts in warm for pair in range(FIRST_CORPUS, PAIRS))
    total = sum(counts.total() for counts in warm)
    share = 40**0.2 / (40**0.2 + 110**0.2)
    assert second / total == pytest.approx(share, abs=0.02)
    assert total / 4 == pytest.approx(PAIRS, abs=8)


def test_the_worked_example_of_a_temperature_is_true() -> None:
    mixture = Mixture.of(split_of([10_000, 1_000_000], [1, 1]), temperature=2)
    assert mixture
    pairs = mixture.rates * [10_000, 1_000_000]
    assert pairs.sum() == pytest.approx(1_010_000)
    assert pairs[0] / pairs.sum() == pytest.approx(1 / 11)


def test_a_temperature_multiplies_the_weights_and_1_leaves_them_unchanged() -> None:
    split = split_of([100, 400], [3, 0.5])
    warm, plain = Mixture.of(split, temperature=2), Mixture.of(split, temperature=1)
    assert warm
    assert plain
    assert plain.rates.tolist() == [3, 0.5]
    assert warm.rates[0] / warm.rates[1] == pytest.approx(6 * 2)
    assert warm.rates @ [100, 400] == pytest.approx(500)


def test_one_corpus_has_no_mixture_at_any_temperature() -> None:
    assert Mixture.of(split_of([100], [1]), temperature=7) is None
    assert Mixture.of(split_of([], []), temperature=7) is None


def test_invalid_mixtures_are_refused() -> None:
    with pytest.raises(DataError, match=r"corpus_temperature must be above 0, got 0"):
        Mixture.of(split_of([100], [1]), temperature=0)
    with pytest.raises(DataError, match="every corpus of the data has weight 0; give one a weight"):
        Mixture.of(split_of([100, 5], [0, 0]), temperature=1)
    with pytest.raises(
        DataError, match="with the weights of the corpora, an epoch has 4e-07 of 400 pairs; give larger weights"
    ):
        Mixture.of(split_of([200, 200], [1e-9, 1e-9]), temperature=1)
    assert Mixture.of(split_of([200, 200], [1e-9, 0.5]), temperature=1)
    with pytest.raises(DataError, match="the weight of corpus web is -1; it must be at least 0"):
        MixedCorpus("web", 10, -1)


@pytest.mark.parametrize("kind", ["corpus", "weights"])
def test_a_missing_file_beside_a_shard_is_named(mix: Mix, kind: str) -> None:
    data = mix(2, 1, loss_weights=True)
    (data / f"train-00002-of-00008.{kind}.npy").unlink()
    with pytest.raises(DataError, match=rf"train-00002-of-00008\.{kind}\.npy is missing; run nmt prepare again"):
        Manifest.load(data)


def test_an_array_of_another_dtype_is_named(mix: Mix) -> None:
    data = mix(2, 1)
    np.save(data / "train-00002-of-00008.corpus.npy", np.zeros(PAIRS, np.int64))
    with pytest.raises(DataError, match=r"train-00002-of-00008\.corpus\.npy \(it is not an array of uint8\)"):
        batches_of(data, **OPTIONS)


def test_a_manifest_stores_corpora_and_an_older_one_without_them_loads(mix: Mix, tmp_path: Path) -> None:
    manifest = Manifest.load(mix(2, 1, loss_weights=True))
    split = manifest.split("train")
    assert split.corpora == (MixedCorpus("first", 110, 2), MixedCorpus("second", 40, 1))
    assert split.has_loss_weights
    path = manifest.data_dir / "manifest.json"
    text = path.read_text()
    start, end = text.index(',\n   "corpora"'), text.index("\n  }", text.index('"has_loss_weights"'))
    path.write_text(text[:start] + text[end:])
    older = Manifest.load(manifest.data_dir).split("train")
    assert (older.corpora, older.has_loss_weights, older.examples) == ((), False, PAIRS)
