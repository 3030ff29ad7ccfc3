"""The rows of a batch as replicas and machines get them."""

from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.training.machines.distribution import divide, mirrored_strategy
from keras_nmt.pipelines.shards.lanes import Host
from tests.app.training.small_trainer import (
    batches,
    stream,
)


class Machine:
    """The part of a strategy that `divide` needs, on one of several machines with several replicas each."""

    def __init__(self, number: int, machines: int, replicas: int) -> None:
        self.context = tf.distribute.InputContext(machines, number, machines * replicas)

    def distribute_datasets_from_function(self, deal: Callable[..., tf.data.Dataset]) -> tf.data.Dataset:
        return deal(self.context)


@pytest.mark.parametrize(("machines", "replicas"), [(1, 3), (2, 2), (2, 4), (3, 2), (16, 1)])
def test_replicas_of_several_machines_get_every_row_once_and_as_many(machines, replicas):
    rows = np.arange(1, 25)

    def stream_of(host: Host) -> tf.data.Dataset:
        padded = np.pad(rows, (0, -len(rows) % host.of))
        own = padded[host.number :: host.of]
        return tf.data.Dataset.from_tensors((own, own)).repeat()

    parts = [
        part.numpy()
        for number in range(machines)
        for part, _ in divide(stream_of, Machine(number, machines, replicas)).take(replicas)
    ]
    assert len(parts) == machines * replicas
    assert len({len(part) for part in parts}) == 1
    assert sorted(row for part in parts for row in part if row) == rows.tolist()
    first = [part[0] for part in parts]
    assert first == [1 + number + machines * replica for number in range(machines) for replica in range(replicas)]


def test_rows_are_padded_with_empty_ones_to_a_multiple_of_the_replicas():
    strategy = mirrored_strategy()
    _, per_replica = next(iter(divide(lambda _: stream(), strategy)))
    values = [part.numpy() for part in strategy.experimental_local_results(per_replica)]
    _, labels = next(batches())
    np.testing.assert_array_equal(values[0], labels[0::2])
    np.testing.assert_array_equal(values[1], np.concatenate([labels[1::2], np.zeros((1, 6))]))
