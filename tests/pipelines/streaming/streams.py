"""Training streams with windows small enough for tests, from any epoch, and of several machines."""

from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import tensorflow as tf

from keras_nmt.pipelines.shards.lanes import ONLY_HOST, Host
from keras_nmt.pipelines.streaming import stream, windows
from keras_nmt.pipelines.streaming.options import StreamOptions
from keras_nmt.pipelines.streaming.stream import PlannedBatch
from keras_nmt.pipelines.streaming.windows import TrainingData


def small_windows(pairs: int | None) -> Any:
    """Returns a context in which streams are opened with windows of at most `pairs` pairs."""
    return patch.multiple(windows, WINDOW_PAIRS=pairs, SAMPLED_WINDOW_PAIRS=pairs) if pairs else nullcontext()


def open_data(data_dir: Path, *, window_pairs: int | None = None, **options: Any) -> TrainingData:
    with small_windows(window_pairs):
        return TrainingData.open(data_dir, StreamOptions(**options))


def batches_of(data_dir: Path, epoch: int = 0, **options: Any) -> int:
    """Returns the number of batches of an epoch."""
    data = open_data(data_dir, **options)
    return int(data.count(data.windows(epoch)).sum())


def plan_first_epoch(data_dir: Path, *, window_pairs: int | None = None, **options: Any) -> list[PlannedBatch]:
    with small_windows(window_pairs):
        return stream.plan_first_epoch(data_dir, StreamOptions(**options))


def training_stream(
    data_dir: Path,
    *,
    window_pairs: int | None = None,
    start_epoch: int = 0,
    start_batch: int = 0,
    host: Host = ONLY_HOST,
    **options: Any,
) -> tf.data.Dataset:
    """Returns the stream from a batch of an epoch on."""
    sizes = options | {"window_pairs": window_pairs}
    start_batch += sum(batches_of(data_dir, epoch, **sizes) for epoch in range(start_epoch))
    with small_windows(window_pairs):
        return stream.training_stream(data_dir, StreamOptions(**options), start_batch=start_batch, host=host)


def assert_machines_read_in_turn(
    data_dir: Path, hosts: int, batches: int = 60, start_batch: int = 0, **options: Any
) -> None:
    """Asserts that machine h reads rows h, h + H, h + 2H, ... of each batch, filled up with empty rows."""
    assert open_data(data_dir, **options).lanes > 1

    def read(host: Host) -> list[Any]:
        of_host = training_stream(data_dir, host=host, start_batch=start_batch, **options)
        return list(islice(of_host.as_numpy_iterator(), batches))

    for batch, *of_hosts in zip(read(ONLY_HOST), *(read(Host(i, hosts)) for i in range(hosts)), strict=True):
        for all_rows, *rows in zip(*map(tf.nest.flatten, (batch, *of_hosts)), strict=True):
            together = np.stack(rows, axis=1).reshape(-1, *all_rows.shape[1:])
            assert len(together) - len(all_rows) == -len(all_rows) % hosts
            assert np.array_equal(together[: len(all_rows)], all_rows)
            assert not together[len(all_rows) :].any()
