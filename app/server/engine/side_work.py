"""Work that no batch takes: other signatures and explanations, in threads; so much of it at a time and no more."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from app.server.errors import BusyError

THREADS = 4
MOST_AT_ONCE = 64  # running or waiting for a thread

Result = TypeVar("Result")


class SideWork:
    """Runs functions in a few threads, and refuses what would be too much."""

    def __init__(self, most: int = MOST_AT_ONCE) -> None:
        self._places = threading.BoundedSemaphore(most)
        self._threads = ThreadPoolExecutor(THREADS, "side-work")

    async def run(self, function: Callable[..., Result], *arguments: object) -> Result:
        """What the function gives; a place is taken until it has ended, or is given up before it began.

        Raises:
            BusyError: There is no place.
        """
        if not self._places.acquire(blocking=False):
            raise BusyError("too much of this is asked for already; try again in a moment")
        work = self._threads.submit(function, *arguments)
        work.add_done_callback(lambda _: self._places.release())  # also when it is given up before it began
        return await asyncio.wrap_future(work)
