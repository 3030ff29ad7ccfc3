"""Gives memory back to the system that malloc keeps between batches of unlike shapes; a server runs for months."""

import ctypes
import time
from collections.abc import Callable

SECONDS_APART = 5.0


class Trimmer:
    """Has glibc trim its heaps now and then; does nothing where there is no glibc."""

    def __init__(self) -> None:
        self._last = time.monotonic()
        self._trim: Callable[[int], int] | None = None
        try:
            self._trim = ctypes.CDLL("libc.so.6").malloc_trim
        except (OSError, AttributeError):
            return

    def __call__(self) -> None:
        """Trims, unless it did so a moment ago."""
        if self._trim and time.monotonic() - self._last > SECONDS_APART:
            self._last = time.monotonic()
            self._trim(0)


def limit_memory(size: int) -> None:
    """Has this process fail when it takes more than `size` bytes; does nothing where the system has no such limit."""
    try:
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (size, size))
    except (ImportError, ValueError, OSError):
        return
