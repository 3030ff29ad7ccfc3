"""Runs the same function for many chunks: in this process, in several, or as an Apache Beam pipeline.

A function leaves its results in files; what it gives back is a number of pairs, for a progress bar.
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
from typing import Any, Protocol, TypeVar

from pipelines.errors import DataError, LostWorkerError

_AHEAD = 2  # jobs a worker that wait for it; their text is in memory

Item = TypeVar("Item")
Done = Callable[[int], None]


class Workers(Protocol):
    """Whatever runs a function for all items; `small_items` says whether they may be but numbers and names."""

    small_items: bool

    def run(self, function: Callable[[Item], int], items: Iterable[Item], done: Done) -> None:
        """Runs it, and calls `done` with what it gave for one or more of the items."""


class LocalWorkers:
    """Processes on this machine; a single item is not worth starting one for.

    Args:
        count: So many; as many as there are cores if None.
    """

    small_items = False

    def __init__(self, count: int | None = None) -> None:
        self._count = len(os.sched_getaffinity(0)) if count is None else count
        if self._count < 1:
            raise DataError(f"workers must be at least 1, got {self._count}")
        self._pool: ProcessPoolExecutor | None = None
        self._started: list[BaseProcess] = []

    def run(self, function: Callable[[Item], int], items: Iterable[Item], done: Done) -> None:
        """Runs the function; the items are read as they are needed, in order."""
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
                "a worker was killed, perhaps for want of memory; the same command goes on, with fewer --workers"
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
        """Ends the processes, which have nothing to do any more."""
        if self._pool:
            self._pool.shutdown()

    def kill(self) -> None:
        """Ends the processes whatever they do: what they write is whole or not there."""
        for process in self._started:
            process.kill()

    def _processes(self) -> ProcessPoolExecutor:
        if self._pool is None:
            self._pool = ProcessPoolExecutor(self._count, get_context("spawn"), _begin)
            before = active_children()
            with _deaf_to_ctrl_c():  # the processes start deaf to it, and so do not tell of it while they import
                for _ in range(self._count):
                    self._pool.submit(os.getpid)
            self._started = [process for process in active_children() if process not in before]
        return self._pool


class BeamWorkers:
    """An Apache Beam pipeline a step, on any of its runners; its machines must see the folder that is written to.

    Args:
        options: Of the runner, as Beam takes them: `["--runner=FlinkRunner", "--flink_master=…"]`.
    """

    small_items = True

    def __init__(self, options: Sequence[str]) -> None:
        try:
            import apache_beam as beam
            from apache_beam.options.pipeline_options import PipelineOptions
        except ImportError as error:
            raise DataError("Apache Beam is not installed; install the extra: pip install 'nmt[beam]'") from error
        self._beam = beam
        self._options = PipelineOptions(list(options))

    def run(self, function: Callable[[Item], int], items: Iterable[Item], done: Done) -> None:
        """Runs the function; the items, which go into the pipeline's description, are read first."""
        beam = self._beam
        with beam.Pipeline(options=self._options) as pipeline:
            _ = pipeline | beam.Create(list(items)) | beam.Reshuffle() | beam.Map(function)
        done(0)


@contextmanager
def local_workers(count: int | None) -> Iterator[LocalWorkers]:
    """Gives processes that end with the block."""
    workers = LocalWorkers(count)
    try:
        yield workers
    except BaseException:
        workers.kill()
        raise
    finally:
        workers.close()


@contextmanager
def _deaf_to_ctrl_c() -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # who alone may say so
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _begin() -> None:
    """Lets a worker end with the program that started it, and leaves Ctrl-C to that."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ["RAYON_NUM_THREADS"] = "1"  # there is a worker for each core already
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent: Any = parent_process()
    connection.wait([parent.sentinel])
    os._exit(1)
