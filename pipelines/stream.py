"""The streams a model reads: prepared shards become batches `({"source", "target"}, labels)`.

The training stream works on windows: some whole shards, parsed at once, shuffled, batched by length, and the batches
shuffled in turn. Everything random follows from (seed, epoch, window), so a batch is named by (epoch, batch): it is the
same on every machine, and a stream may start at any of them. A worked example, with 4 shards of 100 pairs and windows
of 200 pairs:

    epoch 0   shards in the order 2 0 | 3 1   window 0 = shards 2, 0   window 1 = shards 3, 1
              window 0 gives batches 0..11, window 1 gives batches 12..22
    epoch 1   shards in the order 1 2 | 0 3   ...

To start at (epoch 0, batch 15), window 0 is planned from its lengths and skipped; window 1 is read, and its first three
batches are skipped.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.batching import EMPTY_ROW, BatchPlan, BatchShape, NumpyBatch, fill_batch, plan_batches
from pipelines.errors import DataError
from pipelines.manifest import VOCABULARY, Manifest, Shard, Split
from pipelines.sampling import SubwordSampler
from pipelines.shards import read_lengths, read_tokens

WINDOW_EXAMPLES = 200_000  # about 50 MB of token ids, and two windows are in memory at once
_BATCHES_AHEAD = 16

_IDS = tf.TensorSpec([None, None], tf.int32)
BATCH_SPEC = ({"source": _IDS, "target": _IDS}, _IDS)


def training_stream(
    data_dir: str | Path,
    *,
    batch_tokens: int,
    max_length: int,
    seed: int,
    start_epoch: int = 0,
    start_batch: int = 0,
    sampling_alpha: float = 0.0,
    window_examples: int = WINDOW_EXAMPLES,
) -> tf.data.Dataset:
    """Gives batches without end: each pair once an epoch, in another order each epoch.

    Args:
        data_dir: what `nmt prepare` wrote.
        batch_tokens: no side of a batch has more tokens than this, padding counted.
        max_length: pairs with more tokens on a side, EOS counted, are skipped; `skipped_examples` says how many.
        seed: of the order.
        start_epoch: with `start_batch`, where to begin: the stream is that from (0, 0) without what comes before.
        start_batch: if it lies beyond the end of the epoch, counting goes on in the next: (0, n) is the n-th batch.
        sampling_alpha: subword regularisation. Above 0, each sentence has a segmentation drawn anew each epoch, with a
            probability proportional to P(segmentation)**alpha; 0 takes the stored one, the best. Batches are planned
            with room for longer segmentations than the stored, within `max_length`; what does not fit is drawn
            again, and a sentence that never fits keeps the stored one. `pipelines.sampling` says more.
        window_examples: pairs in memory that are shuffled together, in whole shards, at least one.

    Returns:
        Batches `({"source": int32 [B, S], "target": int32 [B, T]}, labels int32 [B, T])`, B a multiple of 8; some rows
        of the last batch of a window may be all PAD.

    Raises:
        DataError: if the data cannot be used, no pair is short enough, the budget is too small for `max_length`, or
            segmentations are to be drawn by a vocabulary that is no unigram model. A shard found damaged on the way
            ends the stream with an error of tf.data that names it, which `shards.reporting_data_errors` turns into a
            DataError.
    """
    data = _TrainingData.open(
        data_dir,
        batch_tokens=batch_tokens,
        max_length=max_length,
        seed=seed,
        sampling_alpha=sampling_alpha,
        window_examples=window_examples,
    )
    if start_epoch < 0 or start_batch < 0:
        raise DataError(f"a stream starts at epoch 0, batch 0 or later, not at {start_epoch}, {start_batch}")
    data.plan(data.windows(start_epoch)[0])  # reports what is wrong with the options now, not at the first batch
    return _dataset(lambda: _batches(data, start_epoch, start_batch))


def evaluation_stream(
    data_dir: str | Path, split: str = "dev", *, batch_tokens: int, max_length: int
) -> tf.data.Dataset:
    """Gives each pair of a split once, the longest first, in batches like those of `training_stream`.

    Pairs longer than `max_length` are skipped; `skipped_examples` says how many. The whole split is held in memory.

    Raises:
        DataError: as `training_stream` does.
    """
    manifest = Manifest.load(data_dir)
    shards = manifest.split(split).shards
    _check_some_fit(manifest, split, max_length)
    lengths = read_lengths(manifest.data_dir, shards)
    plans = plan_batches(lengths, np.arange(len(lengths)), batch_tokens=batch_tokens, max_length=max_length)

    def batches() -> Iterator[NumpyBatch]:
        tokens = read_tokens(manifest.data_dir, shards)
        return (fill_batch(tokens, plan) for plan in plans)

    return _dataset(batches)


class PlannedBatch(NamedTuple):
    """What is known of a batch before it is read: its shape, and how many source and target tokens are real.

    With subword regularisation the tokens are those to expect of the draws.
    """

    shape: BatchShape
    source_tokens: float
    target_tokens: float


def planned_epoch(
    data_dir: str | Path,
    *,
    batch_tokens: int,
    max_length: int,
    seed: int,
    epoch: int = 0,
    sampling_alpha: float = 0.0,
    window_examples: int = WINDOW_EXAMPLES,
) -> list[PlannedBatch]:
    """Gives the batches of one epoch of `training_stream`, in order, without reading a token.

    Epochs of several windows differ by a few batches.
    """
    data = _TrainingData.open(
        data_dir,
        batch_tokens=batch_tokens,
        max_length=max_length,
        seed=seed,
        sampling_alpha=sampling_alpha,
        window_examples=window_examples,
    )
    return [batch for window in data.windows(epoch) for batch in data.planned(window)]


def skipped_examples(data_dir: str | Path, split: str = "train", *, max_length: int) -> int:
    """Gives the number of pairs that a stream of this `max_length` skips."""
    return Manifest.load(data_dir).split(split).longer_than(max_length)


class _Window(NamedTuple):
    epoch: int
    number: int
    shards: tuple[Shard, ...]


_Numbered = tuple[int, BatchPlan]  # a batch of a window, and which of its batches it is


@dataclass(frozen=True)
class _TrainingData:
    """What to read and how to order it: everything that the sequence of batches follows from."""

    data_dir: Path
    train: Split
    batch_tokens: int
    max_length: int
    seed: int
    sampler: SubwordSampler | None
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
        window_examples: int,
    ) -> "_TrainingData":
        manifest = Manifest.load(data_dir)
        if seed < 0:
            raise DataError(f"seed must not be negative, got {seed}")
        if sampling_alpha < 0:
            raise DataError(f"sampling_alpha must not be negative, got {sampling_alpha}")
        _check_some_fit(manifest, "train", max_length)
        sampler = (
            SubwordSampler((manifest.data_dir / VOCABULARY).read_bytes(), sampling_alpha) if sampling_alpha else None
        )
        return cls(manifest.data_dir, manifest.split("train"), batch_tokens, max_length, seed, sampler, window_examples)

    def windows(self, epoch: int) -> list[_Window]:
        """Gives the windows of an epoch: its order of the shards, cut where the next shard would be too much."""
        groups: list[list[Shard]] = []
        room = 0
        for i in self._random(epoch, 0).permutation(len(self.train.shards)):
            shard = self.train.shards[i]
            if not groups or shard.examples > room:
                groups.append([])
                room = self.window_examples
            groups[-1].append(shard)
            room -= shard.examples
        return [_Window(epoch, number, tuple(shards)) for number, shards in enumerate(groups)]

    def plan(self, window: _Window) -> list[BatchPlan]:
        """Gives the batches of a window, in the order in which they are read."""
        random = self._random(window.epoch, 1 + window.number)
        lengths = read_lengths(self.data_dir, window.shards)
        order = random.permutation(len(lengths))
        if self.sampler:
            lengths = self.sampler.room(lengths, self.max_length)
        plans = plan_batches(lengths, order, batch_tokens=self.batch_tokens, max_length=self.max_length)
        return [plans[i] for i in random.permutation(len(plans))]

    def planned(self, window: _Window) -> Iterator[PlannedBatch]:
        """Yields what is known of the batches of a window."""
        stored = read_lengths(self.data_dir, window.shards)
        lengths = self.sampler.expected(stored, self.max_length) if self.sampler else stored
        for plan in self.plan(window):
            source_tokens, target_tokens = lengths[plan.rows[plan.rows != EMPTY_ROW]].sum(axis=0).tolist()
            yield PlannedBatch(plan.shape, source_tokens, target_tokens)

    def plans_from(self, epoch: int, batch: int) -> Iterator[tuple[_Window, list[_Numbered]]]:
        """Yields the windows and what is to be read of each, from a batch of an epoch on, without end."""
        for window in (window for number in count(epoch) for window in self.windows(number)):
            plans = list(enumerate(self.plan(window)))
            if batch < len(plans):
                yield window, plans[batch:]
            batch = max(0, batch - len(plans))

    def read(self, window: _Window) -> Callable[[_Numbered], NumpyBatch]:
        """Reads a window and gives what makes its batches."""
        tokens = read_tokens(self.data_dir, window.shards)
        if not self.sampler:
            return lambda numbered: fill_batch(tokens, numbered[1])
        segmentations = self.sampler.segmentations(tokens)
        return lambda numbered: segmentations.draw_batch(
            numbered[1], self._random(window.epoch, 1 + window.number, 1 + numbered[0])
        )

    def _random(self, epoch: int, *use: int) -> np.random.Generator:
        """Gives the random numbers of a use in an epoch: 0 orders shards; 1 + n window n; 1 + n, 1 + m its batch m."""
        return np.random.Generator(np.random.PCG64([self.seed, epoch, *use]))


def _batches(data: _TrainingData, epoch: int, batch: int) -> Iterator[NumpyBatch]:
    """Yields the batches from a position on; while those of one window are taken, the next window is read."""
    windows = data.plans_from(epoch, batch)

    def read_next() -> tuple[list[_Numbered], Callable[[_Numbered], NumpyBatch]]:
        window, plans = next(windows)
        return plans, data.read(window)

    with ThreadPoolExecutor(1) as reader:
        upcoming: Future[tuple[list[_Numbered], Callable[[_Numbered], NumpyBatch]]] = reader.submit(read_next)
        while True:
            plans, fill = upcoming.result()
            upcoming = reader.submit(read_next)
            yield from map(fill, plans)


def _dataset(batches: Callable[[], Iterator[NumpyBatch]]) -> tf.data.Dataset:
    return tf.data.Dataset.from_generator(batches, output_signature=BATCH_SPEC).prefetch(_BATCHES_AHEAD)


def _check_some_fit(manifest: Manifest, name: str, max_length: int) -> None:
    split = manifest.split(name)
    if split.longer_than(max_length) == split.examples:
        raise DataError(
            f"every pair of split {name!r} in {manifest.data_dir} has more than {max_length} tokens on a side; "
            "use a larger maximum length"
        )
