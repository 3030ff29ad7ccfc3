"""Division of a global batch among devices. What the batch holds is decided before, without the machine."""

from typing import Any

import tensorflow as tf


def mirrored_strategy() -> tf.distribute.Strategy:
    """One replica on every visible GPU, or on every logical CPU device where there is none."""
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def divide(stream: tf.data.Dataset, strategy: tf.distribute.Strategy) -> Any:
    """Deals each global batch to the replicas: row i goes to replica i mod R, so that each gets like lengths.

    Where R does not divide the rows, empty rows (all padding) fill up; they count for nothing in the loss.
    """
    replicas = strategy.num_replicas_in_sync

    def parts(*batch: Any) -> tf.data.Dataset:
        def part(i: tf.Tensor) -> Any:
            return tf.nest.map_structure(lambda ids: _rows_to_multiple(ids, replicas)[i::replicas], batch)

        return tf.data.Dataset.range(replicas).map(part)

    dealt = stream.flat_map(parts) if replicas > 1 else stream
    return strategy.distribute_datasets_from_function(lambda _: dealt.prefetch(2 * replicas))


def _rows_to_multiple(ids: tf.Tensor, count: int) -> tf.Tensor:
    """ids [B, T] with empty rows added until `count` divides B."""
    return tf.pad(ids, [[0, -tf.shape(ids)[0] % count], [0, 0]])
