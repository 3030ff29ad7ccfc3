"""Distributes a global batch over the devices of one or several machines.

The global batch does not depend on the devices. Only its division among the devices does.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
import tensorflow as tf

from keras_nmt.app.runtime.tensorflow_start import held_stderr
from keras_nmt.app.training.machines.cluster import Cluster
from keras_nmt.pipelines.shards.lanes import Host

# Collective operations raise these errors when another machine no longer answers.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def strategy_of(cluster: Cluster) -> tf.distribute.Strategy:
    """Returns a strategy with one replica on every GPU of the cluster, or on each machine's CPU if there is no GPU.

    All machines of a cluster must call this at the same time, before TensorFlow has started.
    """
    if cluster.size == 1:
        return mirrored_strategy()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with held_stderr(), reporting_lost_workers(cluster):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    signal.signal(signal.SIGTERM, on_sigterm)  # TensorFlow's own handler would keep the process alive
    return strategy


@cache
def mirrored_strategy() -> tf.distribute.Strategy:
    """Returns a strategy with one replica on every visible GPU, or on every logical CPU device if there is no GPU.

    Always returns the same object. TensorFlow identifies the shapes of collective operations by numbers that restart
    with each strategy object. So with a second strategy object, a second model with other shapes would fail.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def divide(stream_of: Callable[[Host], tf.data.Dataset], strategy: tf.distribute.Strategy) -> Any:
    """Distributes the rows of each global batch round-robin, so that all replicas get rows of similar lengths.

    With H machines of R replicas each, row i goes to machine i mod H, and there to replica (i // H) mod R. If the
    number of rows is not a multiple of H * R, empty rows (all padding) are added, which have no effect on the loss.

    Args:
        stream_of: A function that takes a machine, and returns the endless stream of batches with only the rows of this
            machine.
        strategy: The strategy whose replicas get the rows.

    Returns:
        A distributed dataset for `fit`.
    """

    def deal(context: tf.distribute.InputContext) -> tf.data.Dataset:
        host = Host(context.input_pipeline_id, context.num_input_pipelines)
        here = context.num_replicas_in_sync // host.of

        def parts(*batch: Any) -> tf.data.Dataset:
            def part(i: tf.Tensor) -> Any:
                return tf.nest.map_structure(lambda rows: _rows_to_multiple(rows, here)[i::here], batch)

            return tf.data.Dataset.range(here).map(part)

        stream = stream_of(host)
        dealt = stream.flat_map(parts) if here > 1 else stream
        # If the cardinality were unknown, the machines would agree before each step whether there is another batch.
        return dealt.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)).prefetch(2 * here)

    return strategy.distribute_datasets_from_function(deal)


def _rows_to_multiple(rows: tf.Tensor, count: int) -> tf.Tensor:
    """Appends empty rows to [B, …] until B is a multiple of `count`."""
    return tf.pad(rows, [[0, -tf.shape(rows)[0] % count], *[[0, 0]] * (len(rows.shape) - 1)])


def take_from_chief(strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable]) -> None:
    """Assigns the chief's values to the variables of every machine.

    All machines must call this at the same time with the same variables.
    """
    if not _has_others(strategy):
        return
    for variable, value in zip(variables, chiefs_values(strategy, variables), strict=True):
        variable.assign(value)


def chiefs_values(strategy: tf.distribute.Strategy, values: Iterable[keras.Variable | int]) -> Iterator[tf.Tensor]:
    """Yields the chief's values. All machines must call this at the same time, with values of the same shapes."""
    for value in map(tf.convert_to_tensor, values):
        if _has_others(strategy):
            taken = _of_chief(strategy, value.dtype)(tf.reshape(value, [-1]))
            yield tf.reshape(strategy.experimental_local_results(taken)[0], value.shape)
        else:
            yield value


@cache
def _of_chief(strategy: tf.distribute.Strategy, dtype: tf.DType) -> Any:
    """Returns a collective function: each machine passes a vector, and every replica gets the vector of the chief."""

    @tf.function(input_signature=[tf.TensorSpec([None], dtype)])
    def of_chief(value: tf.Tensor) -> Any:
        def of_replica() -> tf.Tensor:
            replica = tf.distribute.get_replica_context()
            is_chiefs = replica.replica_id_in_sync_group == 0
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(is_chiefs, value, tf.zeros_like(value)))

        return strategy.run(of_replica)

    return of_chief


def chiefs_decision(strategy: tf.distribute.Strategy, own: bool) -> bool:
    """Returns, on all machines, the value that the chief passed as `own`.

    All machines must call this at the same time. They wait for each other.
    """
    return bool(next(chiefs_values(strategy, [int(own)])))


def _has_others(strategy: tf.distribute.Strategy) -> bool:
    """True if several machines train together."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


@contextmanager
def reporting_lost_workers(cluster: Cluster) -> Iterator[None]:
    """Replaces the errors of collective operations by an error with a message that names the lost machine.

    Raises:
        TemporaryError: A machine of the cluster no longer answers.
    """
    try:
        yield
    except _LOST as error:
        if cluster.size == 1:
            raise
        raise cluster.lost(str(error)) from error
