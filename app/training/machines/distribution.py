"""Division of a global batch among devices, of this machine or of several. What the batch holds is decided before,
without the machines.
"""

import signal
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import keras
import tensorflow as tf

from app.runtime.tensorflow_start import held_stderr
from app.training.machines.cluster import Cluster
from pipelines.shards.lanes import Host

# What the collective operations of the others end with when a machine is gone.
_LOST = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


def strategy_of(cluster: Cluster) -> tf.distribute.Strategy:
    """One replica on every GPU of the cluster's machines, or one on each machine's CPU where there is none.

    Of several machines, all call this at once and before TensorFlow has started.
    """
    if cluster.size == 1:
        return mirrored_strategy()
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with held_stderr(), reporting_lost_workers(cluster):
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    signal.signal(signal.SIGTERM, on_sigterm)  # TensorFlow has taken it, and would let nothing end the process
    return strategy


@cache
def mirrored_strategy() -> tf.distribute.Strategy:
    """One replica on every visible GPU, or on every logical CPU device where there is none.

    The same object each time: TensorFlow remembers the shapes of a strategy's collectives by numbers that would begin
    anew with another object, and a second model of other shapes in the same process would fail.
    """
    devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def divide(stream_of: Callable[[Host], tf.data.Dataset], strategy: tf.distribute.Strategy) -> Any:
    """Deals each global batch to the replicas, row by row in turn, so that each gets like lengths.

    Of H machines with R replicas each, row i goes to machine i mod H, and there to replica i // H mod R. Where H * R
    does not divide the rows, empty rows (all padding) fill up; they count for nothing in the loss.

    Args:
        stream_of: gives the rows of a machine of each batch, without end.
        strategy: whose replicas get them.
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
        # Else the machines would ask each other before each step whether there is another batch.
        return dealt.apply(tf.data.experimental.assert_cardinality(tf.data.INFINITE_CARDINALITY)).prefetch(2 * here)

    return strategy.distribute_datasets_from_function(deal)


def _rows_to_multiple(rows: tf.Tensor, count: int) -> tf.Tensor:
    """Rows [B, …] with empty ones added until `count` divides B."""
    return tf.pad(rows, [[0, -tf.shape(rows)[0] % count], *[[0, 0]] * (len(rows.shape) - 1)])


def take_from_chief(strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable]) -> None:
    """Gives each variable the chief's value on every machine; all call this at once with the same variables."""
    if not _has_others(strategy):
        return
    for variable, value in zip(variables, chiefs_values(strategy, variables), strict=True):
        variable.assign(value)


def chiefs_values(strategy: tf.distribute.Strategy, values: Iterable[Any]) -> Iterator[tf.Tensor]:
    """The chief's values, one after the other; all machines call this at once with numbers or arrays of like shapes."""
    for value in map(tf.convert_to_tensor, values):
        if _has_others(strategy):
            taken = _of_chief(strategy, value.dtype)(tf.reshape(value, [-1]))
            yield tf.reshape(strategy.experimental_local_results(taken)[0], value.shape)
        else:
            yield value


@cache
def _of_chief(strategy: tf.distribute.Strategy, dtype: tf.DType) -> Any:
    """A function from each machine's vector to the chief's, on every replica."""

    @tf.function(input_signature=[tf.TensorSpec([None], dtype)])
    def of_chief(value: tf.Tensor) -> Any:
        def of_replica() -> tf.Tensor:
            replica = tf.distribute.get_replica_context()
            is_chiefs = replica.replica_id_in_sync_group == 0
            return replica.all_reduce(tf.distribute.ReduceOp.SUM, tf.where(is_chiefs, value, tf.zeros_like(value)))

        return strategy.run(of_replica)

    return of_chief


def chiefs_word(strategy: tf.distribute.Strategy, word: bool) -> bool:
    """The chief's word; all machines call this at once with their own, and wait until all have."""
    return bool(next(chiefs_values(strategy, [int(word)])))


def _has_others(strategy: tf.distribute.Strategy) -> bool:
    """Whether other machines train along."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


@contextmanager
def reporting_lost_workers(cluster: Cluster) -> Iterator[None]:
    """Turns the errors of collective operations into one line that names the machine that is gone.

    Raises:
        TemporaryError: A machine of the cluster does not answer any more.
    """
    try:
        yield
    except _LOST as error:
        if cluster.size == 1:
            raise
        raise cluster.lost(str(error)) from error
