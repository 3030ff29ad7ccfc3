"""The data sets that a model reads: they make batches `({"source", "target"}, labels)` from prepared shards.

The training stream works on windows. A window is a group of whole shards that are read together. Its pairs are shuffled
and batched by length, and its batches are shuffled too. All random numbers depend only on (seed, epoch, window), so the
n-th batch is always the same, on every machine, and a stream can start at any batch. A worked example, with 4 shards of
100 pairs and windows of 200 pairs:

    epoch 0   shards in the order 2 0 | 3 1   window 0 = shards 2, 0   window 1 = shards 3, 1
              window 0 yields batches 0..11, window 1 yields batches 12..22
    epoch 1   shards in the order 1 2 | 0 3   ...

To start at batch 15, the stream skips window 0. From the lengths of the pairs, it counts that this window has 12
batches. Then it plans window 1 from the lengths, reads the tokens of window 1, and skips the first three batches.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.lanes import ONLY_HOST, Host
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import read_lengths, read_tokens
from keras_nmt.pipelines.streaming.allocator import keep_freed_memory
from keras_nmt.pipelines.streaming.batching import BatchShape, NumpyBatch, fill_batch, plan_batches
from keras_nmt.pipelines.streaming.checks import check_some_are_short_enough
from keras_nmt.pipelines.streaming.options import StreamOptions
from keras_nmt.pipelines.streaming.window_reading import Fill, NumberedPlan, WeightedBatch, read_window
from keras_nmt.pipelines.streaming.windows import TrainingData, Window

_PREFETCHED_BATCHES = 16

_IDS = tf.TensorSpec([None, None], tf.int32)
BATCH_SPEC = ({"source": _IDS, "target": _IDS}, _IDS)
PACKED_SPEC = (dict.fromkeys(("source", "source_segments", "target", "target_segments"), _IDS), _IDS)


def batch_spec(manifest: Manifest, *, packed: bool = False) -> tuple[Any, ...]:
    """Returns the `tf.TypeSpec` of a training batch, with loss weights if the data has loss weights.

    Loss weights have shape [B], one for each row. In packed batches they have shape [B, T], one for each target token.
    """
    spec, axes = (PACKED_SPEC, [None, None]) if packed else (BATCH_SPEC, [None])
    return (*spec, tf.TensorSpec(axes, tf.float32)) if manifest.split("train").has_loss_weights else spec


def training_stream(
    data_dir: str | Path, options: StreamOptions, *, start_batch: int = 0, host: Host = ONLY_HOST
) -> tf.data.Dataset:
    """Returns an endless data set of training batches: an epoch has each pair once, and each epoch has another order.

    If corpora with different weights are mixed, an epoch may contain a pair several times or not at all
    (`pipelines.streaming.mixing`).

    Args:
        data_dir: The output of `nmt prepare`.
        options: The options that determine the size and the order of the batches.
        start_batch: The number of the first batch to return. Batches are numbered from 0 through all epochs.
        host: The machine that reads. Machine h of H gets rows h, h + H, h + 2H, ... of each batch, and reads only the
            shards of its lanes (`pipelines.shards.lanes`). If the number of rows is not a multiple of H, rows of only
            PAD are added.

    Returns:
        Batches `({"source": int32 [B, S], "target": int32 [B, T]}, labels int32 [B, T])`. With one machine, B is a
        multiple of 8. The narrowest batches of a window may have rows of only PAD. If the data has loss weights, the
        third element is the weight of each row, float32 [B], 0 for rows of only PAD. Packed batches have two more
        inputs, `source_segments` int32 [B, S] and `target_segments` int32 [B, T], which are 0 at PAD and 1, 2, ... for
        the pairs of a row. The loss weights of packed batches are those of the target tokens, float32 [B, T].

    Raises:
        DataError: The data cannot be used, no pair is short enough, `batch_tokens` is too small for `max_length`, or
            the options ask for drawn segmentations but the vocabulary is not a unigram model. If a shard turns out to
            be damaged while it is read, iterating raises an error of tf.data that names the shard, and
            `shards.reading.reporting_data_errors` converts this error to a `DataError`.
    """
    data = TrainingData.open(data_dir, options, host)
    if start_batch < 0:
        raise DataError(f"a stream starts at batch 0 or later, not at {start_batch}")
    return stream_from(data, start_batch)


def stream_from(data: TrainingData, start_batch: int) -> tf.data.Dataset:
    """Returns the batches of opened data, beginning with batch `start_batch`; see `training_stream`."""
    spec = batch_spec(data.manifest, packed=data.options.packed)
    return dataset_of(lambda: _batches(data, start_batch), spec).prefetch(_PREFETCHED_BATCHES)


def evaluation_stream(
    data_dir: str | Path | Manifest, split: str = "dev", *, batch_tokens: int, max_length: int
) -> tf.data.Dataset:
    """Returns a data set of batches with each pair of a split once, the longest pairs first.

    The batches have the form `({"source", "target"}, labels)`, as in `training_stream`. Pairs longer than `max_length`
    are skipped. The whole split is held in memory. Weights of corpora and loss weights are ignored, so each pair counts
    once.

    Raises:
        DataError: The data cannot be used, no pair is short enough, or `batch_tokens` is too small for `max_length`.
    """
    manifest = Manifest.of(data_dir)
    shards = manifest.split(split).shards
    check_some_are_short_enough(manifest, split, max_length)
    lengths = read_lengths(manifest.data_dir, shards)
    plans = plan_batches(lengths, [np.arange(len(lengths))], batch_tokens=batch_tokens, max_length=max_length)

    def batches() -> Iterator[NumpyBatch]:
        tokens = read_tokens(manifest.data_dir, shards, vocabulary_size=manifest.vocabulary_size)
        return (fill_batch(tokens, plan) for plan in plans)

    known = tf.data.experimental.assert_cardinality(len(plans))  # otherwise Keras warns that the data ran out
    return dataset_of(batches, BATCH_SPEC).apply(known).prefetch(_PREFETCHED_BATCHES)


class PlannedBatch(NamedTuple):
    """A batch that is planned but not read: its shape, and its numbers of source and target tokens.

    If the stream draws segmentations, the numbers of tokens are expected values.
    """

    shape: BatchShape
    source_tokens: float
    target_tokens: float


def plan_first_epoch(data_dir: str | Path, options: StreamOptions) -> list[PlannedBatch]:
    """Returns the batches of the first epoch of `training_stream`, in order, without reading tokens.

    If an epoch has several windows, later epochs may have a few more or a few fewer batches than the first epoch.
    """
    return planned_batches(TrainingData.open(data_dir, options))


def planned_batches(data: TrainingData) -> list[PlannedBatch]:
    """Returns the batches of the first epoch of opened data; see `plan_first_epoch`."""
    return [batch for window in data.windows(0) for batch in _planned(data, window)]


def skipped_examples(data_dir: str | Path, *, max_length: int) -> int:
    """Returns the number of training pairs that a stream skips because they are longer than `max_length`."""
    return Manifest.load(data_dir).split("train").longer_than(max_length)


def _planned(data: TrainingData, window: Window) -> Iterator[PlannedBatch]:
    """Yields the planned batches of a window."""
    lengths = data.expected_lengths(window)
    for plan in data.plan(window):
        source_tokens, target_tokens = lengths[plan.pairs].sum(axis=0).tolist()
        yield PlannedBatch(plan.shape, source_tokens, target_tokens)


def _batches(data: TrainingData, start_batch: int) -> Iterator[NumpyBatch | WeightedBatch]:
    """Yields the batches from `start_batch` on. While the caller uses batches, a thread reads the next window."""
    windows = data.windows_from(start_batch)

    def read_next() -> tuple[list[NumberedPlan], Fill]:
        window, first = next(windows)
        return list(map(NumberedPlan, count(), data.plan(window)))[first:], read_window(data, window)

    with ThreadPoolExecutor(1) as reader:
        upcoming = reader.submit(read_next)
        while True:
            planned, fill = upcoming.result()
            upcoming = reader.submit(read_next)
            yield from map(fill, planned)


def dataset_of(batches: Callable[[], Iterator[Any]], spec: Any) -> tf.data.Dataset:
    """Returns a data set of batches that are given as NumPy arrays.

    Args:
        batches: A function that returns a new iterator over the batches. It is called each time that an iteration over
            the data set starts.
        spec: The `tf.TypeSpec` of a batch.
    """

    def generate() -> Iterator[Any]:
        keep_freed_memory()  # TensorFlow's op for generators has just reset the parameters of `malloc`
        yield from batches()

    # Autotuning has nothing to tune here. Its thread sleeps for up to a minute, which would delay the program's end.
    options = tf.data.Options()
    options.autotune.enabled = False
    return tf.data.Dataset.from_generator(generate, output_signature=spec).with_options(options)
