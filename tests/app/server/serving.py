"""A server in this process on a free port, with helpers for requests."""

import asyncio
import json
import logging
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn

from keras_nmt.app.server.engine.batching import Batcher
from keras_nmt.app.server.engine.limits import ApiKeys, Limits, RateLimiter
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.engine.models import Models
from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.http.application import application
from keras_nmt.app.server.http.proxies import Proxies


@dataclass
class Running:
    """A server that answers at `url`."""

    url: str
    service: Service

    def get(self, path: str, **how: Any) -> httpx.Response:
        return httpx.get(self.url + path, timeout=60, **how)

    def post(self, path: str, fields: Any = None, **how: Any) -> httpx.Response:
        how = how if fields is None else {"json": fields, **how}
        return httpx.post(self.url + path, timeout=60, **how)

    def ok(self, path: str, fields: Any = None) -> Any:
        response = self.get(path) if fields is None else self.post(path, fields)
        assert response.status_code == 200, response.text
        return json.loads(response.text)

    def metric(self, name: str) -> float:
        """Returns the sum of a metric over its labels."""
        lines = [line for line in self.get("/metrics").text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
        return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@contextmanager
def serving(
    exports: Path,
    *,
    limits: Limits | None = None,
    keys: ApiKeys | None = None,
    pages: Sequence[str] = (),
    proxies: Proxies | None = None,
    **batching: int,
) -> Iterator[Running]:
    """Serves the exports inside the block."""
    metrics, limits = Metrics(), limits or Limits()
    batcher = Batcher(metrics, **{"workers": 2, **batching})
    limiter = RateLimiter(limits.requests_per_minute)
    service = Service(Models(exports, metrics), batcher, metrics, limits, limiter, keys)
    app = application(service, pages=pages, proxies=proxies)
    config = uvicorn.Config(app, port=0, log_level="error", access_log=False, proxy_headers=False)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive()
            thread.join(0.01)
        yield Running(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", service)
    finally:
        server.should_exit = True
        thread.join()


def events_of(answer: httpx.Response) -> tuple[list[dict[str, Any]], list[tuple[str, dict[str, Any]]]]:
    """Returns the data of the server-sent events without a name, and the names and data of the others."""
    plain, named = [], []
    for block in answer.text.strip().split("\n\n"):
        *kind, data = block.split("\n")
        fields = json.loads(data.removeprefix("data: "))
        if kind:
            named.append((kind[0].removeprefix("event: "), fields))
        else:
            plain.append(fields)
    return plain, named


class _Failures(logging.Handler):
    """Keeps the exceptions of log records."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.found: list[BaseException | None] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.found.append(record.exc_info[1] if record.exc_info else None)


@contextmanager
def logged_failures() -> Iterator[list[BaseException | None]]:
    """Yields the list of exceptions that servers in this process log inside the block."""
    failures, log = _Failures(), logging.getLogger("uvicorn.error")
    log.addHandler(failures)
    try:
        yield failures.found
    finally:
        log.removeHandler(failures)
