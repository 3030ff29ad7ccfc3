"""Answers that are server-sent events. Each event has a JSON object; the last one is named "end" or "error"."""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from fastapi.responses import StreamingResponse
from starlette.types import Send

from keras_nmt.app.server.errors import FAILED, RequestError

HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}  # otherwise nginx delays the events


def event(fields: dict[str, Any], kind: str = "") -> str:
    """Formats a server-sent event."""
    return f"{f'event: {kind}' + chr(10) if kind else ''}data: {json.dumps(fields, ensure_ascii=False)}\n\n"


class EventStream(StreamingResponse):
    """Response that sends events as they are made, and "error" as the last one if they cannot be completed.

    If the client disconnects, the generator of the events is closed at once, and not when memory is collected.

    Args:
        events: Events as `event` formats them; the last one is "end".
        seconds: Time limit for all events together.

    Raises:
        Exception: The events ended with an unexpected error. It is raised after the whole answer was sent, so that it
            is logged and counted like the errors of other requests.
    """

    def __init__(self, events: AsyncGenerator[str, None], seconds: float) -> None:
        self.events = self._completed(events, seconds)
        self.failure: Exception | None = None
        super().__init__(self.events, media_type="text/event-stream", headers=HEADERS)

    async def stream_response(self, send: Send) -> None:
        """Sends all events."""
        async with aclosing(self.events):
            await super().stream_response(send)
        if self.failure:
            raise self.failure

    async def _completed(self, events: AsyncGenerator[str, None], seconds: float) -> AsyncGenerator[str, None]:
        try:
            async with asyncio.timeout(seconds), aclosing(events):
                async for one in events:
                    yield one
        except (RequestError, TimeoutError) as error:
            yield event({"error": str(error) or f"not finished within {seconds:g} s"}, kind="error")
        except Exception as error:
            self.failure = error
            yield event({"error": FAILED}, kind="error")
