"""Returns the freed memory of a long-running process to the system, and limits the memory of a process.

After batches of different shapes, malloc's heaps hold much freed memory.
"""

import ctypes
import time
from collections.abc import Callable

TRIM_INTERVAL_SECONDS = 5.0


class Trimmer:
    """Callable that returns the freed memory in glibc's heaps to the system. Does nothing without glibc."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._trim: Callable[[int], int] | None = None
        try:
            self._trim = ctypes.CDLL("libc.so.6").malloc_trim
        except (OSError, AttributeError):
            return

    def __call__(self) -> None:
        """Trims the heaps, unless the last trim was less than `TRIM_INTERVAL_SECONDS` ago."""
        if self._trim and time.monotonic() - self._last > TRIM_INTERVAL_SECONDS:
            self._last = time.monotonic()
            self._trim(0)


def limit_memory(size: int) -> None:
    """Limits the address space of this process to `size` bytes. Does nothing if the system has no such limit."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    except (ImportError, ValueError, OSError):
        return
