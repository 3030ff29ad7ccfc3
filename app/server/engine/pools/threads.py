"""A bounded thread pool for signatures that cannot be batched, such as `explain`."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from keras_nmt.app.server.errors import BusyError

THREADS = 4
MAX_PENDING = 64  # calls that run or wait for a thread

_Result = TypeVar("_Result")


class ThreadPool:
    """Thread pool that refuses calls beyond its capacity.

    Args:
        most: Maximum number of calls that run or wait for a thread.
    """

    def __init__(self, most: int = MAX_PENDING) -> None:
        self._capacity = threading.BoundedSemaphore(most)
        self._threads = ThreadPoolExecutor(THREADS, "side-work")

    async def run(self, function: Callable[..., _Result], *arguments: object) -> _Result:
        """Runs a function in a thread and returns its result.

        A cancelled call whose function has started counts towards the capacity until the function returns.

        Raises:
            BusyError: Too many calls run or wait.
        """
        if not self._capacity.acquire(blocking=False):
            raise BusyError("too many requests of this kind; try again in a moment")
        work = self._threads.submit(function, *arguments)
        work.add_done_callback(lambda _: self._capacity.release())  # also called if cancelled before the start
        return await asyncio.wrap_future(work)
