"""The windows of training data: groups of whole shards that are read, shuffled and divided into batches together.

This module decides which shards are in each window of an epoch, the order of the windows, how many batches a window
has, and which pairs each batch contains. The results depend only on (seed, epoch, window) and on the lengths of the
pairs. Tokens are not read in this module, but in `pipelines.streaming.window_reading`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.buckets import Buckets, Lengths, Rows, bucket_lengths, bucket_of_each, longer_sides
from keras_nmt.pipelines.shards.lanes import ONLY_HOST, Host, lane_count
from keras_nmt.pipelines.shards.manifest import VOCABULARY, Manifest
from keras_nmt.pipelines.shards.reading import read_corpora, read_lengths
from keras_nmt.pipelines.shards.splits import Shard, Split
from keras_nmt.pipelines.streaming.batching import BatchPlan, BatchShape, count_batches, plan_batches, rows_within
from keras_nmt.pipelines.streaming.checks import check_some_are_short_enough, check_usable_weights
from keras_nmt.pipelines.streaming.mixing import Mixture
from keras_nmt.pipelines.streaming.options import StreamOptions
from keras_nmt.pipelines.streaming.packing import PackedPlan, pack_batches, packed_shape
from keras_nmt.pipelines.streaming.subwords.sampler import SubwordSampler

WINDOW_PAIRS = 600_000  # 36 to 72 MB of token ids per window; two windows are in memory at once
SAMPLED_WINDOW_PAIRS = 300_000  # the limit for drawn segmentations; the lattices of the words take about 300 MB


class Window(NamedTuple):
    """A window of an epoch.

    Attributes:
        epoch: The number of the epoch, from 0.
        number: The number of the window within the epoch, from 0.
        shards: The indices of the window's shards in `TrainingData.shards`. With L lanes, shard i of the window belongs
            to lane i mod L.
    """

    epoch: int
    number: int
    shards: tuple[int, ...]


@dataclass(frozen=True)
class TrainingData:
    """The training split and everything else that the sequence of batches depends on.

    Attributes:
        manifest: The prepared data.
        options: The options of the stream.
        host: The machine that reads.
        sampler: The sampler that draws segmentations; None to read the stored segmentations.
        mixture: The number of times that an epoch takes a pair of each corpus; None to take each pair once.
        window_pairs: The maximum number of pairs in a window. If the largest shard has more pairs, each window consists
            of one shard.
        packed_shape: The shape of all packed batches; None for batches with one pair per row.
    """

    manifest: Manifest
    options: StreamOptions
    host: Host
    sampler: SubwordSampler | None
    mixture: Mixture | None
    window_pairs: int
    packed_shape: BatchShape | None

    @classmethod
    def open(cls, data_dir: str | Path | Manifest, options: StreamOptions, host: Host = ONLY_HOST) -> "TrainingData":
        """Opens the training split, and checks that the options suit the data, without reading tokens.

        Raises:
            DataError: For the same reasons as in `training_stream`.
        """
        manifest = Manifest.of(data_dir)
        if not 0 <= host.number < host.of:
            raise DataError(f"machine {host.number} of {host.of}: machines count from 0")
        check_some_are_short_enough(manifest, "train", options.max_length)
        rows_within(options.batch_tokens, bucket_lengths(options.max_length))  # raises here, not at the first batch
        alpha = options.sampling_alpha
        sampler = SubwordSampler((manifest.data_dir / VOCABULARY).read_bytes(), alpha) if alpha else None
        mixture = Mixture.of(manifest.split("train"), options.corpus_temperature)
        check_usable_weights(manifest, mixture, options.max_length)
        shape = None
        if options.packed:
            sizes = {"batch_tokens": options.batch_tokens, "max_length": options.max_length}
            shape = packed_shape(manifest.split("train"), **sizes, sampling_alpha=alpha)
        window_pairs = SAMPLED_WINDOW_PAIRS if sampler else WINDOW_PAIRS
        return cls(manifest, options, host, sampler, mixture, window_pairs, shape)

    @property
    def split(self) -> Split:
        """The training split."""
        return self.manifest.split("train")

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """The shards that contain pairs. Empty shards, which only tiny data has, are left out."""
        return tuple(shard for shard in self.split.shards if shard.examples)

    @cached_property
    def lanes(self) -> int:
        """The number of lanes (`pipelines.shards.lanes`), at most the number of shards that fit in a window."""
        return lane_count(len(self.shards), most=self.window_pairs // self._largest_shard)

    @property
    def _largest_shard(self) -> int:
        return max(shard.examples for shard in self.shards)

    def windows(self, epoch: int) -> list[Window]:
        """Returns the windows of an epoch, in order.

        The shards of each lane are shuffled and divided among the windows, so that a window has equally many shards of
        each lane, and all windows have nearly equal numbers of shards.
        """
        shards = np.arange(len(self.shards)).reshape(-1, self.lanes)
        shards = self.random(epoch, 0).permuted(shards, axis=0)
        at_once = max(1, self.window_pairs // (self.lanes * self._largest_shard))
        parts = np.array_split(shards, -(-len(shards) // at_once))
        return [Window(epoch, number, tuple(part.ravel().tolist())) for number, part in enumerate(parts)]

    def windows_from(self, batch: int) -> Iterator[tuple[Window, int]]:
        """Yields the windows of all epochs endlessly, beginning with the window that contains a given batch.

        Each window comes with the index, within the window, of the first batch to read: 0 for all windows except the
        first. The batches of the windows before the first one are only counted. Packed batches must be planned in order
        to count them.

        Args:
            batch: The number of the first batch to read, counted from 0 through all epochs.
        """
        for epoch in count():
            windows = self.windows(epoch)
            skipped = 0
            if batch:
                ends = np.cumsum(self.count(windows))
                skipped = int(np.searchsorted(ends, batch, side="right"))
                batch -= int(ends[skipped - 1]) if skipped else 0
            for window in windows[skipped:]:
                yield window, batch
                batch = 0

    def shards_of(self, window: Window) -> tuple[Shard, ...]:
        """Returns the shards of a window."""
        return tuple(self.shards[shard] for shard in window.shards)

    def plan(self, window: Window) -> list[BatchPlan] | list[PackedPlan]:
        """Returns the plans of the batches of a window, in the order in which the batches are read."""
        random = self.random(window.epoch, 1 + window.number)
        lengths = self._lengths(window)
        lanes = [random.permutation(rows) for rows in self._taken(window, lengths, random)]
        max_length = self.options.max_length
        if self.sampler:
            lengths = self.sampler.room(lengths, max_length)
        if self.packed_shape:
            return pack_batches(lengths, lanes, self.packed_shape, max_length=max_length, random=random)
        plans = plan_batches(lengths, lanes, batch_tokens=self.options.batch_tokens, max_length=max_length)
        return [plans[i] for i in random.permutation(len(plans))]

    def expected_lengths(self, window: Window) -> Lengths | NDArray[np.float64]:
        """Returns the lengths of a window's pairs, [N, 2], or expected lengths (float64) if segmentations are drawn."""
        stored = self._lengths(window)
        return self.sampler.expected(stored, self.options.max_length) if self.sampler else stored

    def _lengths(self, window: Window) -> Lengths:
        return read_lengths(self.manifest.data_dir, self.shards_of(window))

    def _taken(self, window: Window, lengths: Lengths, random: np.random.Generator) -> list[Rows]:
        """Returns, for each lane, the indices of the pairs of a window that an epoch takes.

        Without a mixture, these are all pairs. A mixture may repeat or omit pairs.
        """
        shards = self.shards_of(window)
        rows = np.arange(len(lengths))
        lane = np.repeat(np.arange(len(shards)) % self.lanes, [shard.examples for shard in shards])
        lanes = [rows[lane == i] for i in range(self.lanes)]
        if not self.mixture:
            return lanes
        offsets = self.mixture.offsets(random, self.lanes)
        corpora = read_corpora(self.manifest.data_dir, shards)
        buckets = self._buckets(lengths)
        shuffled = map(random.permutation, lanes)
        return [
            self.mixture.draw(rows, corpora[rows], buckets[rows], lane_offsets)
            for rows, lane_offsets in zip(shuffled, offsets, strict=True)
        ]

    def count(self, windows: list[Window]) -> Rows:
        """Returns the number of batches of each window, int64 [W].

        Packed batches are planned in order to count them. Other batches are counted from histograms of lengths.
        """
        if self.packed_shape:
            return np.array([self._count_packed(window) for window in windows])
        histograms = np.stack([self._histogram(window) for window in windows])
        return count_batches(histograms, batch_tokens=self.options.batch_tokens, max_length=self.options.max_length)

    def _count_packed(self, window: Window) -> int:
        """Returns the number of packed batches of a window. To count the batches, plans them.

        Without a mixture, the number is cached, because windows with the same shards then have the same number of
        batches.
        """
        shards = frozenset(window.shards)
        if self.mixture or shards not in self._packed_counts:
            self._packed_counts[shards] = len(self.plan(window))
        return self._packed_counts[shards]

    @cached_property
    def _packed_counts(self) -> dict[frozenset[int], int]:
        """A cache of the number of packed batches of a window, by the set of the window's shards."""
        return {}

    def _histogram(self, window: Window) -> Rows:
        """Returns the number of pairs that an epoch takes from a window, by lane and length bucket, [lanes, buckets].

        The bucket of a pair is the bucket of its longer side.
        """
        by_shard = self._histograms[list(window.shards)]
        by_lane: Rows = by_shard.reshape(-1, self.lanes, *by_shard.shape[1:]).sum(axis=0)
        if self.mixture:
            offsets = self.mixture.offsets(self.random(window.epoch, 1 + window.number), self.lanes)
            by_lane = self.mixture.count(by_lane, offsets)
        return by_lane.sum(axis=1)

    @cached_property
    def _histograms(self) -> NDArray[np.int32]:
        """The numbers of pairs by shard, corpus and bucket of the longer side, int32 [shards, corpora, buckets]."""
        buckets = len(bucket_lengths(self.options.max_length)) + 1  # the last bin counts skipped rows
        corpora = len(self.mixture.rates) if self.mixture else 1
        found = np.empty((len(self.shards), corpora, buckets), np.int32)
        for i, shard in enumerate(self.shards):
            numbers = self._buckets(read_lengths(self.manifest.data_dir, [shard])).astype(np.int64)
            if self.mixture:
                numbers += buckets * read_corpora(self.manifest.data_dir, [shard]).astype(np.int64)
            found[i] = np.bincount(numbers, minlength=corpora * buckets).reshape(corpora, buckets)
        return found[..., :-1]

    def _buckets(self, lengths: Lengths) -> Buckets:
        """Returns the index of the bucket of each pair's longer side, given the stored lengths [N, 2].

        If segmentations are drawn, the bucket is that of the planned length (`SubwordSampler.room`) instead of the
        stored length. A pair that is too long gets the number of buckets as its index, one more than the last bucket's
        index.
        """
        max_length = self.options.max_length
        buckets = bucket_lengths(max_length)
        planned = np.maximum(np.arange(max_length + 1, dtype=np.int32), 1)
        if self.sampler:
            planned = self.sampler.room(planned, max_length)
        of_each = np.append(bucket_of_each(buckets)[planned], np.uint8(len(buckets)))
        return of_each[np.minimum(longer_sides(lengths), max_length + 1)]

    def random(self, epoch: int, *use: int) -> np.random.Generator:
        """Returns the random generator for one purpose in an epoch.

        The numbers `use` identify the purpose: 0 orders the shards, 1 + n plans window n, and (1 + n, 1 + m) draws the
        segmentations of batch m of window n.
        """
        return np.random.Generator(np.random.PCG64([self.options.seed, epoch, *use]))
