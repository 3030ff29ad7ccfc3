"""A bounded pool of processes for untrusted files. A process is killed if its call is cancelled.

Threads cannot be killed, so a file that keeps a parser busy would occupy a thread and its memory forever.
"""

import asyncio
import multiprocessing
import signal
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from keras_nmt.app.server.engine.pools.memory import Trimmer, limit_memory
from keras_nmt.app.server.errors import BusyError, RequestError, TooLargeError

PROCESSES = 2
MAX_PENDING = 64  # calls that run or wait for a process
MAX_MEMORY_BYTES = 1024 * 1024 * 1024  # memory limit of each process
SHUTTING_DOWN = "the server is shutting down"
OUT_OF_MEMORY = "this needs more memory than is allowed"

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


class ProcessPool:
    """Pool of processes that start when they are needed. The pool refuses calls beyond its capacity.

    Args:
        count: Maximum number of processes.
        most: Maximum number of calls that run or wait for a process.
    """

    def __init__(self, count: int = PROCESSES, most: int = MAX_PENDING) -> None:
        self._capacity = threading.BoundedSemaphore(most)
        self._threads = ThreadPoolExecutor(count, "process")  # each thread waits for one process
        self._lock = threading.Lock()
        self._idle: list[WorkerProcess] = []
        self._calls: set[PendingCall] = set()
        self._is_stopped = False

    async def run(
        self, function: Callable[_Arguments, _Result], *arguments: _Arguments.args, **named: _Arguments.kwargs
    ) -> _Result:
        """Runs a module-level function in a process and returns its result.

        If the call is cancelled, the process that runs the function is killed.

        Raises:
            BusyError: Too many calls run or wait, or the server is shutting down.
            RequestError: The function raised this error.
            TooLargeError: The function needed too much memory, or the process ended for another reason.
            RuntimeError: The function raised another error.
        """
        if not self._capacity.acquire(blocking=False):
            raise BusyError("too many requests of this kind; try again in a moment")
        call = PendingCall()
        with self._lock:
            if self._is_stopped:
                self._capacity.release()
                raise BusyError(SHUTTING_DOWN)
            self._calls.add(call)
            work = self._threads.submit(self._work, call, (function, arguments, named))
        work.add_done_callback(lambda _: self._done(call))
        try:
            result: _Result = await asyncio.wrap_future(work)
        finally:
            call.cancel()
        return result

    def stop(self) -> None:
        """Kills all processes and cancels all calls."""
        with self._lock:
            self._is_stopped = True
            calls = list(self._calls)
        for call in calls:
            call.cancel()
        self._threads.shutdown(cancel_futures=True)
        for process in self._idle:
            process.close()
        self._idle.clear()

    def _work(self, call: "PendingCall", job: object) -> Any:
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if not process or not process.is_alive():
            process = WorkerProcess()
        call.start(process)
        is_usable = True
        try:
            answer = process.answer(job)
        except (EOFError, OSError):  # a process whose connection is closed may be alive for a moment more
            answer, is_usable = TooLargeError(OUT_OF_MEMORY), False
        if call.finish() and is_usable:
            with self._lock:
                self._idle.append(process)
        else:
            process.close()
        if isinstance(answer, Exception):
            raise BusyError(SHUTTING_DOWN) if self._is_stopped else answer
        return answer

    def _done(self, call: "PendingCall") -> None:
        with self._lock:
            self._calls.discard(call)
        self._capacity.release()


class PendingCall:
    """A call and the process that runs it. One thread may cancel the call while another thread finishes the call."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: WorkerProcess | None = None
        self._is_cancelled = False

    def start(self, process: "WorkerProcess") -> None:
        """Sets the process that runs the call. Kills the process if the call is already cancelled."""
        with self._lock:
            self._process = process
            if self._is_cancelled:
                process.kill()

    def finish(self) -> bool:
        """Detaches the process from the call. Returns False if the call is already cancelled."""
        with self._lock:
            self._process = None
            return not self._is_cancelled

    def cancel(self) -> None:
        """Cancels the call and kills the process that runs it, if any."""
        with self._lock:
            self._is_cancelled = True
            if self._process:
                self._process.kill()


class WorkerProcess:
    """A process that runs the functions that it receives, one after another."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve_calls, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def answer(self, job: object) -> Any:
        """Runs a function in the process. Returns the function's result, or the error that `outcome` returns.

        Args:
            job: The function, its positional arguments and its named arguments.

        Raises:
            EOFError: The process has ended.
            OSError: The process has ended.
        """
        self._connection.send(job)
        return self._connection.recv()

    def is_alive(self) -> bool:
        """Returns True if the process runs."""
        return self._process.is_alive()

    def kill(self) -> None:
        """Kills the process. Another thread may be waiting in `answer`."""
        self._process.kill()

    def close(self) -> None:
        """Kills the process and frees its resources."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def serve_calls(connection: Connection) -> None:
    """Main function of a worker process: runs the calls that arrive over a connection until the connection closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C the server stops this process itself
    limit_memory(MAX_MEMORY_BYTES)
    trim = Trimmer()
    with suppress(EOFError, OSError):
        while True:
            function, arguments, named = connection.recv()
            connection.send(outcome(function, arguments, named))
            del function, arguments, named
            trim()


def outcome(function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Runs a function and returns its result. If the function raises, returns an error that can be pickled."""
    try:
        return function(*arguments, **named)
    except RequestError as error:
        return error
    except MemoryError:
        return TooLargeError(OUT_OF_MEMORY)
    except Exception as error:  # the message may contain a user's text, and some errors cannot be pickled
        at = traceback.extract_tb(error.__traceback__)[-1]
        return RuntimeError(f"{type(error).__name__} in {at.filename}, line {at.lineno}")
