"""A web server for tests of downloads: supports ranges, cuts connections, fails, and sends wrong headers."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Page:
    """A file on the server. The first answers are `failures`; the next ones end after so many bytes as `cuts` says."""

    content: bytes
    version: str | None = '"1"'
    cuts: list[int] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)
    ranges: bool = True
    length: int | None = None  # a wrong Content-Length
    shift: int = 0  # by how many bytes its ranges begin too late


@dataclass
class Web:
    """The files of the server by path, and the requested paths and ranges in order."""

    address: str
    pages: dict[str, Page] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)


@contextmanager
def serving() -> Iterator[Web]:
    """Serves on a free local port."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        web = Web(f"http://127.0.0.1:{server.server_port}")
        server.web = web  # type: ignore[attr-defined]
        thread = Thread(target=lambda: server.serve_forever(poll_interval=0.01))
        thread.start()
        try:
            yield web
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        web: Web = self.server.web  # type: ignore[attr-defined]
        web.asked.append((self.path, self.headers["Range"]))
        page = web.pages.get(self.path)
        if page is None or page.failures:
            self.send_error(page.failures.pop(0) if page else 404)
        else:
            self._answer(page)

    def _answer(self, page: Page) -> None:
        start = self._start(page)
        if start and start >= len(page.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(page.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = page.content[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(page.content) - 1}/{len(page.content)}")
        if page.version:
            self.send_header("ETag", page.version)
        self.send_header("Content-Length", str(page.length or len(body)))
        self.end_headers()
        self.wfile.write(body[: page.cuts.pop(0)] if page.cuts else body)

    def _start(self, page: Page) -> int:
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers["Range"] or "")
        unchanged = self.headers["If-Range"] == page.version
        return int(asked[1]) + page.shift if asked and unchanged and page.ranges else 0

    def log_message(self, format: str, *args: object) -> None: ...
