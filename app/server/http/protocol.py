"""Uvicorn's HTTP/1.1 protocol with a time limit on the request line and headers."""

import asyncio
from functools import partial
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class DeadlineProtocol(HttpToolsProtocol):
    """HTTP protocol that closes a connection if the request line and headers do not arrive in time.

    `Gate` limits the time for the body. Uvicorn limits the time between two requests (`timeout_keep_alive`).

    Args:
        seconds: Time limit for the request line and the headers, in seconds.
    """

    def __init__(self, *args: Any, seconds: float, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.seconds = seconds
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Starts the timer for the first request."""
        super().connection_made(transport)
        self._start_timer()

    def on_message_begin(self) -> None:
        """Restarts the timer when the first bytes of a request arrive."""
        self._start_timer()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Stops the timer."""
        self._stop_timer()
        super().on_headers_complete()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stops the timer."""
        self._stop_timer()
        super().connection_lost(exc)

    def _start_timer(self) -> None:
        self._stop_timer()
        self._timer = self.loop.call_later(self.seconds, self.transport.close)

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()


def with_deadline(seconds: float) -> type[asyncio.Protocol]:
    """Returns a protocol class for `uvicorn.Config(http=…)` that uses the time limit `seconds`."""
    return cast("type[asyncio.Protocol]", partial(DeadlineProtocol, seconds=seconds))  # uvicorn only calls the class
