"""Streams of several machines beside the stream of one."""

from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from pipelines.shards.lanes import ONLY_HOST, Host
from pipelines.streaming.stream import training_stream
from pipelines.streaming.windows import TrainingData


def assert_machines_read_in_turn(data_dir: Path, hosts: int, batches: int = 60, **options: Any) -> None:
    """Machine h has rows h, h + H, h + 2H, ... of each of the first batches, with empty ones where some are missing."""

    sizes = {"corpus_temperature": 1.0, "sampling_alpha": 0.0, "window_examples": None} | options
    sizes.pop("start_batch", None)
    assert TrainingData.open(data_dir, **sizes).lanes > 1

    def read(host: Host) -> list[Any]:
        return list(islice(training_stream(data_dir, host=host, **options).as_numpy_iterator(), batches))

    for batch, *of_hosts in zip(read(ONLY_HOST), *(read(Host(i, hosts)) for i in range(hosts)), strict=True):
        for all_rows, *rows in zip(*map(tf.nest.flatten, (batch, *of_hosts)), strict=True):
            together = np.stack(rows, axis=1).reshape(-1, *all_rows.shape[1:])
            assert len(together) - len(all_rows) == -len(all_rows) % hosts
            assert np.array_equal(together[: len(all_rows)], all_rows)
            assert not together[len(all_rows) :].any()
