"""The streams a model reads: prepared shards become batches `({"source", "target"}, labels)`.

The training stream works on windows: some whole shards, parsed at once, shuffled, batched by length, and the batches
shuffled in turn. Everything random follows from (seed, epoch, window), so a batch is named by (epoch, batch): it is the
same on every machine, and a stream may start at any of them. A worked example, with 4 shards of 100 pairs and windows
of 200 pairs:

    epoch 0   shards in the order 2 0 | 3 1   window 0 = shards 2, 0   window 1 = shards 3, 1
              window 0 gives batches 0..11, window 1 gives batches 12..22
    epoch 1   shards in the order 1 2 | 0 3   ...

To start at (epoch 0, batch 15), the 12 batches of window 0 are counted from how many of its pairs have which length,
and skipped; window 1 is planned from its lengths and read, and its first three batches are skipped.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.errors import DataError
from pipelines.shards.lanes import ONLY_HOST, Host
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import read_lengths, read_tokens
from pipelines.streaming.allocator import keep_freed_memory
from pipelines.streaming.batching import BatchShape, NumpyBatch, fill_batch, plan_batches
from pipelines.streaming.windows import Fill, PlannedRead, TrainingData, WeightedBatch, Window, check_some_fit

_BATCHES_AHEAD = 16

_IDS = tf.TensorSpec([None, None], tf.int32)
BATCH_SPEC = ({"source": _IDS, "target": _IDS}, _IDS)


PACKED_SPEC = (dict.fromkeys(("source", "source_segments", "target", "target_segments"), _IDS), _IDS)


def batch_spec(manifest: Manifest, *, packed: bool = False) -> tuple[Any, ...]:
    """Returns the spec of the training batches, with loss weights where the pairs have some.

    The weights are those of the rows, [B]; where several pairs share a row, those of the target tokens, [B, T].
    """
    spec, axes = (PACKED_SPEC, [None, None]) if packed else (BATCH_SPEC, [None])
    return (*spec, tf.TensorSpec(axes, tf.float32)) if manifest.split("train").has_loss_weights else spec


def training_stream(
    data_dir: str | Path,
    *,
    batch_tokens: int,
    max_length: int,
    seed: int,
    start_epoch: int = 0,
    start_batch: int = 0,
    sampling_alpha: float = 0.0,
    corpus_temperature: float = 1.0,
    window_examples: int | None = None,
    host: Host = ONLY_HOST,
    packed: bool = False,
) -> tf.data.Dataset:
    """Gives batches without end: each pair once an epoch, in another order each epoch.

    Where corpora of different weights are mixed, a pair comes as often as `pipelines.streaming.mixing` says.

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
            again, and a sentence that never fits keeps the stored one; see `pipelines.streaming.subword_sampling`.
        corpus_temperature: above 1, small ones of the mixed corpora are shown more often than their weights say; it
            changes nothing where there is but one.
        window_examples: pairs that are shuffled together, in whole shards, at least one; by default 600,000, or 300,000
            with subword regularisation, which needs more memory.
        host: which of several machines reads. Machine h of H gets rows h, h + H, h + 2H, ... of each batch, and reads
            the shards of its lanes alone (`pipelines.shards.lanes`); where H does not divide the rows,
            all-PAD ones fill up.
        packed: Several pairs share a row, and all batches have the shape that
            `pipelines.streaming.packing.packed_shape` gives.

    Returns:
        Batches `({"source": int32 [B, S], "target": int32 [B, T]}, labels int32 [B, T])`, B a multiple of 8; some rows
        of the narrowest batches of a window may be all PAD. Of data with loss weights, those of the rows follow as a
        third element, float32 [B], 0 for rows that are all PAD. Packed batches have the inputs `source_segments` int32
        [B, S] and `target_segments` int32 [B, T] too, 0 at PAD and 1, 2, ... for the pairs of a row; their loss weights
        are those of the target tokens, float32 [B, T].

    Raises:
        DataError: if the data cannot be used, no pair is short enough, the budget is too small for `max_length`, or
            segmentations are to be drawn by a vocabulary that is no unigram model. A shard found damaged on the way
            ends the stream with an error of tf.data that names it, which `shards.reporting_data_errors` turns into a
            DataError.
    """
    data = TrainingData.open(
        data_dir,
        batch_tokens=batch_tokens,
        max_length=max_length,
        seed=seed,
        sampling_alpha=sampling_alpha,
        corpus_temperature=corpus_temperature,
        window_examples=window_examples,
        host=host,
        packed=packed,
    )
    if start_epoch < 0 or start_batch < 0:
        raise DataError(f"a stream starts at epoch 0, batch 0 or later, not at {start_epoch}, {start_batch}")
    return stream_from(data, start_batch, start_epoch)


def stream_from(data: TrainingData, batch: int, epoch: int = 0) -> tf.data.Dataset:
    """Returns the batches of opened data from a batch of an epoch on; see `training_stream`."""
    spec = batch_spec(data.manifest, packed=data.packed is not None)
    return dataset_of(lambda: _batches(data, epoch, batch), spec).prefetch(_BATCHES_AHEAD)


def evaluation_stream(
    data_dir: str | Path | Manifest, split: str = "dev", *, batch_tokens: int, max_length: int
) -> tf.data.Dataset:
    """Gives each pair of a split once, the longest first, in batches like those of `training_stream`.

    Pairs longer than `max_length` are skipped; `skipped_examples` says how many. The whole split is held in memory. Its
    corpora are not mixed and its pairs have no loss weights: each counts once.

    Raises:
        DataError: as `training_stream` does.
    """
    manifest = Manifest.of(data_dir)
    shards = manifest.split(split).shards
    check_some_fit(manifest, split, max_length)
    lengths = read_lengths(manifest.data_dir, shards)
    plans = plan_batches(lengths, [np.arange(len(lengths))], batch_tokens=batch_tokens, max_length=max_length)

    def batches() -> Iterator[NumpyBatch]:
        tokens = read_tokens(manifest.data_dir, shards, vocabulary_size=manifest.vocabulary_size)
        return (fill_batch(tokens, plan) for plan in plans)

    return dataset_of(batches, BATCH_SPEC).prefetch(_BATCHES_AHEAD)


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
    corpus_temperature: float = 1.0,
    window_examples: int | None = None,
    packed: bool = False,
) -> list[PlannedBatch]:
    """Gives the batches of one epoch of `training_stream`, in order, without reading a token.

    Epochs of several windows differ by a few batches.
    """
    data = TrainingData.open(
        data_dir,
        batch_tokens=batch_tokens,
        max_length=max_length,
        seed=seed,
        sampling_alpha=sampling_alpha,
        corpus_temperature=corpus_temperature,
        window_examples=window_examples,
        packed=packed,
    )
    return planned_batches(data, epoch)


def planned_batches(data: TrainingData, epoch: int = 0) -> list[PlannedBatch]:
    """Returns the batches of one epoch of opened data; see `planned_epoch`."""
    return [batch for window in data.windows(epoch) for batch in _planned(data, window)]


def skipped_examples(data_dir: str | Path, split: str = "train", *, max_length: int) -> int:
    """Gives the number of pairs that a stream of this `max_length` skips."""
    return Manifest.load(data_dir).split(split).longer_than(max_length)


def _planned(data: TrainingData, window: Window) -> Iterator[PlannedBatch]:
    """Yields what is known of the batches of a window."""
    lengths = data.expected_lengths(window)
    for plan in data.plan(window):
        source_tokens, target_tokens = lengths[plan.pairs].sum(axis=0).tolist()
        yield PlannedBatch(plan.shape, source_tokens, target_tokens)


def _batches(data: TrainingData, epoch: int, batch: int) -> Iterator[NumpyBatch | WeightedBatch]:
    """Yields the batches from a position on; while those of one window are taken, the next window is read."""
    windows = data.windows_from(epoch, batch)

    def read_next() -> tuple[list[PlannedRead], Fill]:
        window, first = next(windows)
        return list(map(PlannedRead, count(), data.plan(window)))[first:], data.read(window)

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(read_next)
        while True:
            planned, fill = upcoming.result()
            upcoming = reader.submit(read_next)
            yield from map(fill, planned)


def dataset_of(batches: Callable[[], Iterator[Any]], spec: Any) -> tf.data.Dataset:
    """Returns batches of NumPy arrays as a dataset.

    Args:
        batches: Begins anew each time the dataset is iterated over.
        spec: The `tf.TypeSpec` of a batch.
    """

    def generate() -> Iterator[Any]:
        keep_freed_memory()  # the op that is about to read this has just told glibc not to
        yield from batches()

    # Nothing here is left to tf.data to tune, and its thread, which sleeps for up to a minute, would hold up the end.
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_generator(generate, output_signature=spec).with_options(options)
