"""The windows of training data: some whole shards that are read, shuffled and cut into batches together.

Which shards make the windows of an epoch, and in which order, how many batches a window has, which they are, and what
fills them. All of it follows from (seed, epoch, window) and the lengths; tokens are read only to fill batches, and each
of several machines reads those of its own lanes (`pipelines.shards.lanes`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import compress, count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.shards.buckets import Buckets, Lengths, Rows, bucket_lengths, bucket_of_each, longer_sides
from pipelines.shards.lanes import ONLY_HOST, Host, lanes_of
from pipelines.shards.manifest import LEAST_WEIGHT, NOTHING_COUNTS, PREPARE_AGAIN, VOCABULARY, Manifest, Shard, Split
from pipelines.shards.reading import Weights, read_corpora, read_lengths, read_tokens, read_weights
from pipelines.streaming.batching import (
    EMPTY_ROW,
    BatchPlan,
    BatchShape,
    Ids,
    NumpyBatch,
    count_batches,
    fill_batch,
    plan_batches,
    rows_within,
)
from pipelines.streaming.mixing import Mixture
from pipelines.streaming.packed_batches import pack_rows
from pipelines.streaming.packing import PackedPlan, pack_batches, packed_shape
from pipelines.streaming.subword_sampling import SubwordSampler, row_keys

WINDOW_EXAMPLES = 600_000  # 36 to 72 MB of token ids, and two windows are in memory at once
SAMPLED_WINDOW_EXAMPLES = 300_000  # the lattices of whose words take about 300 MB

WeightedBatch = tuple[dict[str, Ids], Ids, Weights]
Fill = Callable[["PlannedRead"], NumpyBatch | WeightedBatch]


class Window(NamedTuple):
    """Which window of which epoch, and the numbers of its shards, of all lanes in turn."""

    epoch: int
    number: int
    shards: tuple[int, ...]


class PlannedRead(NamedTuple):
    """A batch of a window, and which of its batches it is."""

    number: int
    plan: BatchPlan | PackedPlan


@dataclass(frozen=True)
class TrainingData:
    """What to read and how to order it: everything that the sequence of batches follows from."""

    manifest: Manifest
    batch_tokens: int
    max_length: int
    seed: int
    sampler: SubwordSampler | None
    mixture: Mixture | None
    window_examples: int
    host: Host
    packed: BatchShape | None  # of all batches, where several pairs share a row

    @classmethod
    def open(
        cls,
        data_dir: str | Path | Manifest,
        *,
        batch_tokens: int,
        max_length: int,
        seed: int,
        sampling_alpha: float,
        corpus_temperature: float,
        window_examples: int | None,
        host: Host = ONLY_HOST,
        packed: bool = False,
    ) -> "TrainingData":
        """Checks the options, which are those of `stream.training_stream`, before anything is read."""
        manifest = Manifest.of(data_dir)
        if seed < 0:
            raise DataError(f"seed must not be negative, got {seed}")
        if sampling_alpha < 0:
            raise DataError(f"sampling_alpha must not be negative, got {sampling_alpha}")
        if not 0 <= host.number < host.of:
            raise DataError(f"machine {host.number} of {host.of}: machines count from 0")
        check_some_fit(manifest, "train", max_length)
        rows_within(batch_tokens, bucket_lengths(max_length))  # which plans would say at the first batch only
        sampler = (
            SubwordSampler((manifest.data_dir / VOCABULARY).read_bytes(), sampling_alpha) if sampling_alpha else None
        )
        mixture = Mixture.of(manifest.split("train"), corpus_temperature)
        check_some_count(manifest, mixture, max_length)
        window_examples = window_examples or (SAMPLED_WINDOW_EXAMPLES if sampler else WINDOW_EXAMPLES)
        sizes = {"batch_tokens": batch_tokens, "max_length": max_length}
        shape = packed_shape(manifest.split("train"), **sizes, sampling_alpha=sampling_alpha) if packed else None
        return cls(manifest, batch_tokens, max_length, seed, sampler, mixture, window_examples, host, shape)

    @property
    def split(self) -> Split:
        """The training data's part of the manifest."""
        return self.manifest.split("train")

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """Those that hold pairs, as all do but for a handful of pairs."""
        return tuple(shard for shard in self.split.shards if shard.examples)

    @cached_property
    def lanes(self) -> int:
        """How many the shards make; no more than a window holds."""
        return lanes_of(len(self.shards), most=self.window_examples // self._largest_shard)

    @property
    def _largest_shard(self) -> int:
        return max(shard.examples for shard in self.shards)

    def windows(self, epoch: int) -> list[Window]:
        """Gives the windows of an epoch: its order of each lane's shards, cut into parts of as many but for one."""
        random = self._random(epoch, 0)
        shards = np.arange(len(self.shards)).reshape(-1, self.lanes)
        shards = random.permuted(shards, axis=0)
        at_once = max(1, self.window_examples // (self.lanes * self._largest_shard))
        parts = np.array_split(shards, -(-len(shards) // at_once))
        return [Window(epoch, number, tuple(part.ravel().tolist())) for number, part in enumerate(parts)]

    def windows_from(self, epoch: int, batch: int) -> Iterator[tuple[Window, int]]:
        """Yields the windows from a batch of an epoch on, without end, and the first batch that is read of each.

        The windows before are not planned; their batches are counted.
        """
        for number in count(epoch):
            windows = self.windows(number)
            skipped = 0
            if batch:
                ends = np.cumsum(self.count(windows))
                skipped = int(np.searchsorted(ends, batch, side="right"))
                batch -= int(ends[skipped - 1]) if skipped else 0
            for window in windows[skipped:]:
                yield window, batch
                batch = 0

    def plan(self, window: Window) -> list[BatchPlan] | list[PackedPlan]:
        """Gives the batches of a window, in the order in which they are read."""
        random = self._random(window.epoch, 1 + window.number)
        lengths = self._lengths(window)
        lanes = [random.permutation(rows) for rows in self._taken(window, lengths, random)]
        if self.sampler:
            lengths = self.sampler.room(lengths, self.max_length)
        if self.packed:
            return pack_batches(lengths, lanes, self.packed, max_length=self.max_length, random=random)
        plans = plan_batches(lengths, lanes, batch_tokens=self.batch_tokens, max_length=self.max_length)
        return [plans[i] for i in random.permutation(len(plans))]

    def expected_lengths(self, window: Window) -> Lengths | NDArray[np.float64]:
        """Gives the lengths of the pairs of a window, int32 [N, 2]; of segmentations to be drawn the mean, float64."""
        stored = self._lengths(window)
        return self.sampler.expected(stored, self.max_length) if self.sampler else stored

    def read(self, window: Window) -> Fill:
        """Reads this host's part of a window and gives what makes its part of the batches: each of its rows."""
        ours = [self.host.reads(i % self.lanes, self.lanes) for i in range(len(window.shards))]
        shards = list(compress(self._shards(window), ours))
        tokens = read_tokens(self.manifest.data_dir, shards, vocabulary_size=self.manifest.vocabulary_size)
        segmentations = self.sampler.segmentations(tokens) if self.sampler else None
        weights = read_weights(self.manifest.data_dir, shards) if self.split.has_loss_weights else None
        is_read = np.repeat(ours, self._examples(window))
        places = np.where(is_read, np.cumsum(is_read) - 1, EMPTY_ROW)  # of the window's rows in what is read

        def fill(batch: PlannedRead) -> NumpyBatch | WeightedBatch:
            plan = batch.plan.part(self.host, places)
            if segmentations:
                random = self._random(window.epoch, 1 + window.number, 1 + batch.number)
                keys = row_keys(len(batch.plan.apart.rows), random)[..., batch.plan.read_by(self.host)]
                filled = segmentations.draw_batch(plan.apart, keys, plan.room)
            else:
                filled = fill_batch(tokens, plan.apart)
            of_rows = None if weights is None else weights_of(plan.apart, weights)
            if isinstance(plan, PackedPlan):
                return pack_rows(plan, filled, of_rows)
            return filled if of_rows is None else (*filled, of_rows)

        return fill

    def _shards(self, window: Window) -> tuple[Shard, ...]:
        return tuple(self.shards[shard] for shard in window.shards)

    def _examples(self, window: Window) -> list[int]:
        return [shard.examples for shard in self._shards(window)]

    def _lengths(self, window: Window) -> Lengths:
        return read_lengths(self.manifest.data_dir, self._shards(window))

    def _taken(self, window: Window, lengths: Lengths, random: np.random.Generator) -> list[Rows]:
        """Gives the rows that an epoch takes of each lane of a window."""
        rows = np.arange(len(lengths))
        lane = np.repeat(np.arange(len(window.shards)) % self.lanes, self._examples(window))
        lanes = [rows[lane == i] for i in range(self.lanes)]
        if not self.mixture:
            return lanes
        offsets = self.mixture.offsets(random, self.lanes)
        corpora = read_corpora(self.manifest.data_dir, self._shards(window))
        buckets = self._buckets(lengths)
        shuffled = map(random.permutation, lanes)
        return [
            self.mixture.draw(rows, corpora[rows], buckets[rows], of_lane)
            for rows, of_lane in zip(shuffled, offsets, strict=True)
        ]

    def count(self, windows: list[Window]) -> Rows:
        """Gives how many batches each window has; packed ones are planned for that."""
        if self.packed:
            return np.array([self._count_packed(window) for window in windows])
        histograms = np.stack([self._histogram(window) for window in windows])
        return count_batches(histograms, batch_tokens=self.batch_tokens, max_length=self.max_length)

    def _count_packed(self, window: Window) -> int:
        """Plans a window to count its batches; another one of the same shards has as many, but for a mixture."""
        shards = frozenset(window.shards)
        if self.mixture or shards not in self._packed_counts:
            self._packed_counts[shards] = len(self.plan(window))
        return self._packed_counts[shards]

    @cached_property
    def _packed_counts(self) -> dict[frozenset[int], int]:
        """How many packed batches the windows have that were counted."""
        return {}

    def _histogram(self, window: Window) -> Rows:
        """Gives how many of the rows that are taken of each lane have a longer side of which bucket."""
        of_shards = self._histograms[list(window.shards)]
        of_lanes: Rows = of_shards.reshape(-1, self.lanes, *of_shards.shape[1:]).sum(axis=0)
        if self.mixture:
            offsets = self.mixture.offsets(self._random(window.epoch, 1 + window.number), self.lanes)
            of_lanes = self.mixture.count(of_lanes, offsets)
        return of_lanes.sum(axis=1)

    @cached_property
    def _histograms(self) -> NDArray[np.int32]:
        """How many rows of each shard and corpus have a longer side of which bucket, [shards, corpora, buckets]."""
        buckets = len(bucket_lengths(self.max_length)) + 1  # the last is of what is skipped
        corpora = len(self.mixture.rates) if self.mixture else 1
        found = np.empty((len(self.shards), corpora, buckets), np.int32)
        for i, shard in enumerate(self.shards):
            numbers = self._buckets(read_lengths(self.manifest.data_dir, [shard])).astype(np.int64)
            if self.mixture:
                numbers += buckets * read_corpora(self.manifest.data_dir, [shard]).astype(np.int64)
            found[i] = np.bincount(numbers, minlength=corpora * buckets).reshape(corpora, buckets)
        return found[..., :-1]

    def _buckets(self, lengths: Lengths) -> Buckets:
        """Gives the bucket that the longer side of each row is planned with; what is skipped has one more."""
        buckets = bucket_lengths(self.max_length)
        planned = np.maximum(np.arange(self.max_length + 1, dtype=np.int32), 1)
        if self.sampler:
            planned = self.sampler.room(planned, self.max_length)
        of_each = np.append(bucket_of_each(buckets)[planned], np.uint8(len(buckets)))
        return of_each[np.minimum(longer_sides(lengths), self.max_length + 1)]

    def _random(self, epoch: int, *use: int) -> np.random.Generator:
        """Gives the random numbers of a use in an epoch: 0 orders shards; 1 + n window n; 1 + n, 1 + m its batch m."""
        return np.random.Generator(np.random.PCG64([self.seed, epoch, *use]))


def weights_of(plan: BatchPlan, weights: Weights) -> Weights:
    """Gives the loss weights of the rows of a batch, 0 for empty ones."""
    return np.where(plan.rows == EMPTY_ROW, np.float32(0), weights[plan.rows])


def check_some_fit(manifest: Manifest, name: str, max_length: int) -> None:
    """Raises a `DataError` if every pair of a split is longer than `max_length`."""
    split = manifest.split(name)
    if split.longer_than(max_length) == split.examples:
        raise DataError(
            f"every pair of split {name!r} in {manifest.data_dir} has more than {max_length} tokens on a side; "
            "use a larger maximum length"
        )


def check_some_count(manifest: Manifest, mixture: Mixture | None, max_length: int) -> None:
    """Raises a `DataError` if an epoch takes no training pair of at most `max_length` that counts in the loss.

    Without a mixture and loss weights all pairs count; with them, most data needs to be read no further than a shard.
    """
    split, data_dir = manifest.split("train"), manifest.data_dir
    if not (mixture or split.has_loss_weights):
        return
    taken = counting = 0.0
    for shard in split.shards:
        fits = longer_sides(read_lengths(data_dir, [shard])) <= max_length
        rates = mixture.rates[read_corpora(data_dir, [shard])][fits] if mixture else np.ones(fits.sum())
        taken += rates.sum()
        if split.has_loss_weights:
            rates = rates[read_weights(data_dir, [shard])[fits] >= LEAST_WEIGHT]
        counting += rates.sum()
        if counting >= 1:
            return
    if taken >= 1:
        raise DataError(f"{data_dir}: {NOTHING_COUNTS}, and {PREPARE_AGAIN}")
    raise DataError(
        f"{data_dir}: the weights of the corpora leave an epoch {taken:.2g} pairs of at most {max_length} tokens; give "
        f"larger ones and {PREPARE_AGAIN}, or raise max_length"
    )
