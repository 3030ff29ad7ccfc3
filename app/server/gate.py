"""What every request passes: its origin, limits on its body, headers that browsers heed, a count, a line in the log."""

import asyncio
import json
import logging
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.server.limits import Limits
from app.server.metrics import Metrics
from app.server.origins import Origins

LOG = logging.getLogger("nmt.access")
SECURITY = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# Swagger's page has a script and styles inside.
OF_DOCS = SECURITY | {
    "content-security-policy": SECURITY["content-security-policy"]
    .replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
    .replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
}


class Gate:
    """ASGI middleware around the whole server.

    Args:
        app: What answers.
        metrics: Counts.
        limits: On a request's body, and the time within which it must be there.
        origins: Under which names and from which pages requests may come.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, limits: Limits, origins: Origins) -> None:
        self.app = app
        self.metrics = metrics
        self.limits = limits
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 499  # nothing was sent: the client has gone
        received = 0
        is_whole = False
        too_large = f"the body of a request may have {self.limits.body_bytes} bytes"

        async def limited() -> Message:
            nonlocal received, is_whole
            left = None if is_whole else self.limits.arrival - (time.perf_counter() - begun)
            try:
                async with asyncio.timeout(left):
                    message = await receive()
            except TimeoutError as error:
                raise HTTPException(408, f"the body was not there within {self.limits.arrival:g} s") from error
            received += len(message.get("body", b""))
            is_whole = not message.get("more_body", False)
            if received > self.limits.body_bytes:
                raise HTTPException(413, too_large)
            return message

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = OF_DOCS if scope["path"] == "/docs" else SECURITY
                message["headers"] = [
                    *message["headers"],
                    *((name.encode(), value.encode()) for name, value in headers.items()),
                ]
            await send(message)

        try:
            length = dict(scope["headers"]).get(b"content-length", b"0")
            if refusal := self.origins.refusal(scope):
                await refuse(with_headers, *refusal)
            elif length.isdigit() and int(length) > self.limits.body_bytes:
                await refuse(with_headers, 413, too_large)
            else:
                await self.app(scope, limited, with_headers)
        except Exception:
            status = 500
            raise
        finally:
            route = getattr(scope.get("route"), "path", "none")
            seconds = time.perf_counter() - begun
            self.metrics.requests.labels(route, status).inc()
            self.metrics.request_seconds.labels(route).observe(seconds)
            log(scope, status, seconds, received)


def log(scope: Scope, status: int, seconds: float, received: int) -> None:
    """One line of JSON; nothing of what was written or asked for, but for the path."""
    line: dict[str, Any] = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "client": (scope.get("client") or ("",))[0],
        "method": scope["method"],
        "path": scope["path"],
        "status": status,
        "ms": round(1000 * seconds, 1),
        "received_bytes": received,
    }
    LOG.info(json.dumps(line))


async def refuse(send: Send, status: int, message: str) -> None:
    """An answer that says why there is none."""
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
