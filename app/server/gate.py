"""What every request passes: a limit on its body, headers that browsers heed, a count, and a line in the log."""

import json
import logging
import time
from typing import Any

from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from app.server.metrics import Metrics

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
        body_bytes: The most bytes of a request's body.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, body_bytes: int) -> None:
        self.app = app
        self.metrics = metrics
        self.body_bytes = body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = 499  # nothing was sent: the client has gone
        received = 0
        too_large = f"the body of a request may have {self.body_bytes} bytes"

        async def limited() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > self.body_bytes:
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
            if length.isdigit() and int(length) > self.body_bytes:
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
