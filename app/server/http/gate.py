"""ASGI middleware that every request passes.

For each request, the middleware restores the values that a proxy replaced, checks the host and origin, limits the body,
adds security headers to the answer, counts the request and writes a line to the access log.
"""

import json
import logging
import time
from typing import Any

from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from keras_nmt.app.server.engine.limits import Limits
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.errors import CLIENT_GONE
from keras_nmt.app.server.http import bodies
from keras_nmt.app.server.http.bodies import Body
from keras_nmt.app.server.http.origins import Origins
from keras_nmt.app.server.http.proxies import Proxies, path_below_root

LOG = logging.getLogger("nmt.access")
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
# Swagger's page has an inline script and inline styles.
DOCS_SECURITY_HEADERS = SECURITY_HEADERS | {
    "content-security-policy": SECURITY_HEADERS["content-security-policy"]
    .replace("script-src 'self'", "script-src 'self' 'unsafe-inline'")
    .replace("style-src 'self'", "style-src 'self' 'unsafe-inline'")
}


class Gate:
    """ASGI middleware around the whole application.

    Args:
        app: The application.
        metrics: Metrics that count the requests.
        limits: Size and time limits of a request's body.
        origins: Allowed host names and origins.
        proxies: Trusted proxies and the root path; None if there are no proxies.
    """

    def __init__(
        self, app: ASGIApp, metrics: Metrics, limits: Limits, origins: Origins, proxies: Proxies | None = None
    ) -> None:
        self.app = app
        self.metrics = metrics
        self.limits = limits
        self.origins = origins
        self.proxies = proxies or Proxies()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers an HTTP request. Other ASGI events, such as the lifespan, are passed to the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun = time.perf_counter()
        status = CLIENT_GONE  # if no answer is sent
        scope = self.proxies.original(scope)
        body = Body(scope, receive, self.limits)

        async def with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = CLIENT_GONE if body.is_gone else message["status"]
                message = {**message, "headers": [*message["headers"], *security_headers(scope)]}
            await send(message)

        inner = with_get_for_head(scope)
        try:
            await self._answer(inner, body, with_headers)
        except Exception:
            status = 500
            raise
        finally:
            route = getattr(inner.get("route"), "path", "none")
            seconds = time.perf_counter() - begun
            self.metrics.requests.labels(route, status).inc()
            self.metrics.request_seconds.labels(route).observe(seconds)
            log_request(scope, status, seconds, body.received)

    async def _answer(self, scope: Scope, body: Body, send: Send) -> None:
        if refusal := self.origins.refusal(scope) or bodies.refusal(scope, self.limits):
            await refuse(send, *refusal)
        elif not path_below_root(scope):  # without the final slash, relative links would fail
            await RedirectResponse(f"{scope['path']}/")(scope, body.receive, send)
        else:
            await self.app(scope, body.receive, send)


def security_headers(scope: Scope) -> list[tuple[bytes, bytes]]:
    """Returns the security headers of an answer. The headers for `/docs` allow inline scripts and styles."""
    headers = DOCS_SECURITY_HEADERS if path_below_root(scope) == "/docs" else SECURITY_HEADERS
    return [(name.encode(), value.encode()) for name, value in headers.items()]


def with_get_for_head(scope: Scope) -> Scope:
    """Returns the scope that the application gets, in which GET replaces HEAD.

    The application then answers HEAD with all headers of GET, and uvicorn leaves out the body of the answer. For a gzip
    body, the `PACKING_HEADERS` are removed, because they do not describe the body after its decompression.
    """
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    hidden = bodies.PACKING_HEADERS if bodies.is_gzip(scope) else ()
    return {**scope, "method": method, "headers": [header for header in scope["headers"] if header[0] not in hidden]}


def log_request(scope: Scope, status: int, seconds: float, received: int) -> None:
    """Writes a line of JSON to the access log. The line has the path, but no query string and no text from a user."""
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
    """Sends an error as JSON. The connection is closed after the answer, because the body was not read."""
    body = json.dumps({"error": message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": [*headers, (b"connection", b"close")]})
    await send({"type": "http.response.body", "body": body})
