"""Work on files of strangers, in processes of their own: one is ended when nobody waits for its work any more.

A thread cannot be ended, and a parser that a file keeps busy would keep it, its memory, and at last the server.
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

from app.server.engine.memory import Trimmer, limit_memory
from app.server.errors import BusyError, RequestError, TooLargeError

PROCESSES = 2
MOST_AT_ONCE = 64  # at work or waiting for a process
MOST_MEMORY = 1024 * 1024 * 1024  # bytes of a process
STOPS = "the server is about to stop"

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Processes:
    """Runs functions in a few processes, which are started when they are needed, and refuses what would be too much.

    Args:
        count: So many processes.
        most: So many calls may be at work or wait.
    """

    def __init__(self, count: int = PROCESSES, most: int = MOST_AT_ONCE) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._threads = ThreadPoolExecutor(count, "process")  # each waits for a process
        self._lock = threading.Lock()
        self._idle: list[Process] = []
        self._calls: set[Call] = set()
        self._is_stopped = False

    async def run(
        self, function: Callable[Arguments, Result], *arguments: Arguments.args, **named: Arguments.kwargs
    ) -> Result:
        """Returns what a function of a module gives; cancelled, it ends the process that works on it.

        Raises:
            BusyError: There is no place.
            RequestError: The function raised it.
            TooLargeError: The process ended over it, as for want of memory.
            RuntimeError: The function raised anything else.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError("too much of this is asked for already; try again in a moment")
        call = Call()
        with self._lock:
            if self._is_stopped:
                self._places.release()
                raise BusyError(STOPS)
            self._calls.add(call)
            work = self._threads.submit(self._work, call, (function, arguments, named))
        work.add_done_callback(lambda _: self._done(call))
        try:
            result: Result = await asyncio.wrap_future(work)
        finally:
            call.give_up()
        return result

    def stop(self) -> None:
        """Ends all processes, and what they work on."""
        with self._lock:
            self._is_stopped = True
            calls = list(self._calls)
        for call in calls:
            call.give_up()
        self._threads.shutdown(cancel_futures=True)
        for process in self._idle:
            process.end()
        self._idle.clear()

    def _work(self, call: "Call", job: object) -> Any:
        with self._lock:
            process = self._idle.pop() if self._idle else None
        if not process or not process.is_alive():
            process = Process()
        call.begin(process)
        try:
            answer = process.answer(job)
        except (EOFError, OSError):
            answer = TooLargeError("this takes more memory than there is for it")
        if call.end() and process.is_alive():
            with self._lock:
                self._idle.append(process)
        else:
            process.end()
        if isinstance(answer, Exception):
            raise BusyError(STOPS) if self._is_stopped else answer
        return answer

    def _done(self, call: "Call") -> None:
        with self._lock:
            self._calls.discard(call)
        self._places.release()


class Call:
    """A call and the process that works on it, while one does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: Process | None = None
        self._is_given_up = False

    def begin(self, process: "Process") -> None:
        """Notes which process works on it, and ends that if nobody waits for it any more."""
        with self._lock:
            self._process = process
            if self._is_given_up:
                process.kill()

    def end(self) -> bool:
        """Notes that nobody works on it; False if it was given up before."""
        with self._lock:
            self._process = None
            return not self._is_given_up

    def give_up(self) -> None:
        """Ends the process that works on it, if one does."""
        with self._lock:
            self._is_given_up = True
            if self._process:
                self._process.kill()


class Process:
    """A process that runs one function after another."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()

    def answer(self, job: object) -> Any:
        """What a function returned, or the error that it raised.

        Raises:
            EOFError: The process has ended.
            OSError: The same.
        """
        self._connection.send(job)
        return self._connection.recv()

    def is_alive(self) -> bool:
        """Whether it can be asked."""
        return self._process.is_alive()

    def kill(self) -> None:
        """Ends it from another thread than the one that waits for it."""
        self._process.kill()

    def end(self) -> None:
        """Ends it and forgets it."""
        self._process.kill()
        self._process.join()
        self._connection.close()


def serve(connection: Connection) -> None:
    """What a process does until the server closes the connection, or is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server, which then ends this
    limit_memory(MOST_MEMORY)
    trim = Trimmer()
    with suppress(EOFError, OSError):
        while True:
            function, arguments, named = connection.recv()
            connection.send(outcome(function, arguments, named))
            del function, arguments, named
            trim()


def outcome(function: Callable[..., Any], arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What a function returns, or an error that can be sent."""
    try:
        return function(*arguments, **named)
    except RequestError as error:
        return error
    except MemoryError:
        return TooLargeError("this takes more memory than there is for it")
    except Exception as error:  # it may hold what cannot be sent, or what somebody wrote
        at = traceback.extract_tb(error.__traceback__)[-1]
        return RuntimeError(f"{type(error).__name__} in {at.filename}, line {at.lineno}")
