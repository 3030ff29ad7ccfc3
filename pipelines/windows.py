"""The windows of training data: some whole shards that are read, shuffled and cut into batches together.

Which shards make the windows of an epoch, and in which order, how many batches a window has, which they are, and what
fills them. All of it follows from (seed, epoch, window) and the lengths; tokens are read only to fill batches.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.batching import (
    EMPTY_ROW,
    BatchPlan,
    Ids,
    NumpyBatch,
    Rows,
    bucket_lengths,
    count_batches,
    fill_batch,
    longer_sides,
    plan_batches,
    rows_within,
)
from pipelines.errors import DataError
from pipelines.manifest import VOCABULARY, Manifest, Shard, Split
from pipelines.mixing import Mixture
from pipelines.sampling import SubwordSampler
from pipelines.shards import Lengths, Weights, read_corpora, read_lengths, read_tokens, read_weights

WINDOW_EXAMPLES = 500_000  # 30 to 60 MB of token ids, and two windows are in memory at once
SAMPLED_WINDOW_EXAMPLES = 200_000  # the lattices of whose words take about 200 MB

WeightedBatch = tuple[dict[str, Ids], Ids, Weights]
Fill = Callable[["PlannedRead"], NumpyBatch | WeightedBatch]


class Window(NamedTuple):
    """Which window of which epoch, and the numbers of its shards."""

    epoch: int
    number: int
    shards: tuple[int, ...]


class PlannedRead(NamedTuple):
    """A batch of a window, and which of its batches it is."""

    number: int
    plan: BatchPlan


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

    @classmethod
    def open(
        cls,
        data_dir: str | Path,
        *,
        batch_tokens: int,
        max_length: int,
        seed: int,
        sampling_alpha: float,
        corpus_temperature: float,
        window_examples: int | None,
    ) -> "TrainingData":
        """Checks the options, which are those of `stream.training_stream`, before anything is read."""
        manifest = Manifest.load(data_dir)
        if seed < 0:
            raise DataError(f"seed must not be negative, got {seed}")
        if sampling_alpha < 0:
            raise DataError(f"sampling_alpha must not be negative, got {sampling_alpha}")
        check_some_fit(manifest, "train", max_length)
        rows_within(batch_tokens, bucket_lengths(max_length))  # which plans would say at the first batch only
        sampler = (
            SubwordSampler((manifest.data_dir / VOCABULARY).read_bytes(), sampling_alpha) if sampling_alpha else None
        )
        mixture = Mixture.of(manifest.split("train"), corpus_temperature)
        window_examples = window_examples or (SAMPLED_WINDOW_EXAMPLES if sampler else WINDOW_EXAMPLES)
        return cls(manifest, batch_tokens, max_length, seed, sampler, mixture, window_examples)

    @property
    def split(self) -> Split:
        """The training data's part of the manifest."""
        return self.manifest.split("train")

    def windows(self, epoch: int) -> list[Window]:
        """Gives the windows of an epoch: its order of the shards, cut into parts of as many shards but for one."""
        shards = self._random(epoch, 0).permutation(len(self.split.shards))
        at_once = max(1, self.window_examples // max(shard.examples for shard in self.split.shards))
        parts = np.array_split(shards, -(-len(shards) // at_once))
        return [Window(epoch, number, tuple(part.tolist())) for number, part in enumerate(parts)]

    def windows_from(self, epoch: int, batch: int) -> Iterator[tuple[Window, int]]:
        """Yields the windows from a batch of an epoch on, without end, and the first batch that is read of each.

        The windows before are not planned; their batches are counted.
        """
        for number in count(epoch):
            windows = self.windows(number)
            skipped = 0
            if batch:
                ends = np.cumsum(self._count(windows))
                skipped = int(np.searchsorted(ends, batch, side="right"))
                batch -= int(ends[skipped - 1]) if skipped else 0
            for window in windows[skipped:]:
                yield window, batch
                batch = 0

    def plan(self, window: Window) -> list[BatchPlan]:
        """Gives the batches of a window, in the order in which they are read."""
        random = self._random(window.epoch, 1 + window.number)
        lengths = self._lengths(window)
        order = random.permutation(self._taken(window, random))
        if self.sampler:
            lengths = self.sampler.room(lengths, self.max_length)
        plans = plan_batches(lengths, order, batch_tokens=self.batch_tokens, max_length=self.max_length)
        return [plans[i] for i in random.permutation(len(plans))]

    def expected_lengths(self, window: Window) -> Lengths | NDArray[np.float64]:
        """Gives the lengths of the pairs of a window, int32 [N, 2]; of segmentations to be drawn the mean, float64."""
        stored = self._lengths(window)
        return self.sampler.expected(stored, self.max_length) if self.sampler else stored

    def read(self, window: Window) -> Fill:
        """Reads a window and gives what makes its batches."""
        tokens = read_tokens(
            self.manifest.data_dir, self._shards(window), vocabulary_size=self.manifest.vocabulary_size
        )
        segmentations = self.sampler.segmentations(tokens) if self.sampler else None
        weighted = self.split.has_loss_weights
        weights = read_weights(self.manifest.data_dir, self._shards(window)) if weighted else None

        def fill(batch: PlannedRead) -> NumpyBatch | WeightedBatch:
            if segmentations:
                random = self._random(window.epoch, 1 + window.number, 1 + batch.number)
                filled = segmentations.draw_batch(batch.plan, random)
            else:
                filled = fill_batch(tokens, batch.plan)
            return filled if weights is None else (*filled, weights_of(batch.plan, weights))

        return fill

    def _shards(self, window: Window) -> tuple[Shard, ...]:
        return tuple(self.split.shards[shard] for shard in window.shards)

    def _lengths(self, window: Window) -> Lengths:
        return read_lengths(self.manifest.data_dir, self._shards(window))

    def _taken(self, window: Window, random: np.random.Generator) -> Rows:
        """Gives the rows that an epoch takes of a window, in order."""
        if not self.mixture:
            return np.arange(sum(shard.examples for shard in self._shards(window)))
        return self.mixture.draw(read_corpora(self.manifest.data_dir, self._shards(window)), random)

    def _count(self, windows: list[Window]) -> Rows:
        """Gives how many batches each window has."""
        lengths = np.maximum(np.arange(self.max_length + 1, dtype=np.int32), 1)
        return count_batches(
            np.stack([self._histogram(window) for window in windows]),
            self.sampler.room(lengths, self.max_length) if self.sampler else lengths,
            batch_tokens=self.batch_tokens,
            max_length=self.max_length,
        )

    def _histogram(self, window: Window) -> Rows:
        """Gives how many of the rows that are taken of a window have a longer side of 0 to `max_length` tokens."""
        if not self.mixture:
            return np.sum(self._histograms[list(window.shards)], axis=0)
        taken = self._taken(window, self._random(window.epoch, 1 + window.number))
        return self._histogram_of(self._lengths(window)[taken])

    @cached_property
    def _histograms(self) -> Rows:
        """The histogram of each shard, int64 [shards, max_length + 1]."""
        shards = self.split.shards
        return np.stack([self._histogram_of(read_lengths(self.manifest.data_dir, [shard])) for shard in shards])

    def _histogram_of(self, lengths: Lengths) -> Rows:
        longer = np.minimum(longer_sides(lengths), self.max_length + 1)
        return np.bincount(longer, minlength=self.max_length + 2)[:-1]

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
