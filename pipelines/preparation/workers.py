"""Runs a function on many items, in this process, in several processes, or as an Apache Beam pipeline.

An item is, for example, a chunk of a corpus or the number of a chunk. The function writes its results to files, and
returns the number of pairs that it processed, for the progress bar.
"""

import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import chain, islice
from multiprocessing import active_children, connection, get_context, parent_process
from multiprocessing.process import BaseProcess
from typing import Protocol, TypeVar

from keras_nmt.pipelines.errors import DataError, LostWorkerError

_AHEAD = 2  # number of queued items per worker; low, because the text of queued items is held in memory

Item = TypeVar("Item")
Done = Callable[[int], None]


class Workers(Protocol):
    """The interface of the classes that run a function on many items.

    Attributes:
        small_items: True if each item must be small, such as the number of a chunk; False if it may be a whole chunk.
    """

    small_items: bool

    def run(self, function: Callable[[Item], int], items: Iterable[Item], done: Done) -> None:
        """Runs a function on all items.

        Args:
            function: A function that processes one item and returns the number of pairs that it processed.
            items: The items.
            done: A function for the progress bar. It is called with numbers of newly processed pairs.
        """


class LocalWorkers:
    """Worker processes on this machine.

    If there is only one item or `count` is 1, no process is started, and the calling process processes the items.

    Args:
        count: The number of processes; if None, one per core.
    """

    small_items = False

    def __init__(self, count: int | None = None) -> None:
        self._count = len(os.sched_getaffinity(0)) if count is None else count
        if self._count < 1:
            raise DataError(f"workers must be at least 1, got {self._count}")
        self._pool: ProcessPoolExecutor | None = None
        self._started: list[BaseProcess] = []

    def run(self, function: Callable[[Item], int], items: Iterable[Item], done: Done) -> None:
        """Runs the function on all items. The items are taken from the iterable in order, only a few in advance.

        Raises:
            LostWorkerError: A worker process was killed.
        """
        items = iter(items)
        first = list(islice(items, 2))
        if self._count == 1 or len(first) < 2:
            for item in chain(first, items):
                done(function(item))
            return
        try:
            self._run(function, chain(first, items), done)
        except BrokenProcessPool as error:
            raise LostWorkerError(
                "a worker was killed, perhaps for lack of memory; run the same command with fewer --workers to resume"
            ) from error

    def _run(self, function: Callable[[Item], int], items: Iterable[Item], done: Done) -> None:
        waiting: deque[Future[int]] = deque()
        for item in items:
            waiting.append(self._processes().submit(function, item))
            if len(waiting) > _AHEAD * self._count:
                done(waiting.popleft().result())
        for future in waiting:
            done(future.result())

    def close(self) -> None:
        """Waits until the processes have finished their items, and then ends the processes."""
        if self._pool:
            self._pool.shutdown()

    def kill(self) -> None:
        """Kills the processes. Files that were being written do no harm, because the next run writes them again."""
        for process in self._started:
            process.kill()

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _start_worker)
            before = active_children()
            # The processes inherit the ignored signal. Otherwise Ctrl-C would print tracebacks of processes that are
            # still importing.
            with _ignore_sigint():
                for _ in range(self._count):
                    self._pool.submit(os.getpid)
            self._started = [process for process in active_children() if process not in before]
        return self._pool


class BeamWorkers:
    """Runs each phase as an Apache Beam pipeline, on any Beam runner.

    All machines of the runner must share the output folder.

    Args:
        options: The options of the pipeline, in Beam's form: `["--runner=FlinkRunner", "--flink_master=…"]`.

    Raises:
        DataError: Apache Beam is not installed.
    """

    small_items = True

    def __init__(self, options: Sequence[str]) -> None:
        try:
            import apache_beam as beam
            from apache_beam.options.pipeline_options import PipelineOptions
        except ImportError as error:
            raise DataError("Apache Beam is not installed; install the extra: pip install 'keras-nmt[beam]'") from error
        self._beam = beam
        self._options = PipelineOptions(list(options))

    def run(self, function: Callable[[Item], int], items: Iterable[Item], done: Done) -> None:
        """Runs the function on all items.

        All items are read before the pipeline starts, because they are part of the pipeline's description. Beam does
        not report the progress, so `done` is called only once, at the end, with 0.
        """
        beam = self._beam
        with beam.Pipeline(options=self._options) as pipeline:
            _ = pipeline | beam.Create(list(items)) | beam.Reshuffle() | beam.Map(function)
        done(0)


@contextmanager
def local_workers(count: int | None) -> Iterator[LocalWorkers]:
    """Yields worker processes on this machine, which end at the end of the `with` block.

    If the block raises, the processes are killed. `count` is the number of processes; if None, one per core.
    """
    workers = LocalWorkers(count)
    try:
        yield workers
    except BaseException:
        workers.kill()
        raise
    finally:
        workers.close()


@contextmanager
def _ignore_sigint() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may set signal handlers
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _start_worker() -> None:
    """Makes a worker process ignore Ctrl-C, which the main program handles, and end when the main program ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["RAYON_NUM_THREADS"] = "1"  # there is already one worker per core
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    if parent := parent_process():
        connection.wait([parent.sentinel])
    os._exit(1)
