"""Requests from pages of other sites, for other host names, and from clients that never finish their request."""

import asyncio
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from keras_nmt.app.server.engine.limits import Limits
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.http.gate import Gate
from keras_nmt.app.server.http.origins import ANY, Origins, allowed_hosts
from keras_nmt.app.server.http.protocol import with_deadline

SECONDS = 0.4
JSON = ("content-type", "application/json")


def scope_of(method: str, *headers: tuple[str, str]) -> Scope:
    return {"method": method, "headers": [(name.encode(), value.encode()) for name, value in headers]}


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([], None),  # not from a browser
        ([("host", "localhost:8501"), JSON], None),
        ([("host", "LOCALHOST"), ("origin", "http://localhost"), JSON], None),
        ([("host", "[::1]:8501"), ("origin", "http://[::1]:8501")], None),
        ([("host", "127.0.0.1:8501"), ("origin", "http://localhost:8501")], 403),  # another origin
        ([("host", "localhost:8501"), ("origin", "https://evil.example")], 403),
        ([("host", "localhost:8501"), ("origin", "null")], 403),  # a local file or a sandboxed page
        ([("host", "localhost:8501"), ("origin", "http://localhost:3000")], 403),
        ([("host", "localhost:8501"), ("origin", "https://friend.example")], None),
        ([("host", "localhost"), ("content-type", "Text/Plain; charset=UTF-8")], 415),
        ([("host", "localhost"), ("content-type", "application/x-www-form-urlencoded")], None),
        ([("host", "evil.example:8501")], 421),
        ([("host", "[")], 421),
    ],
)
def test_hosts_origins_and_content_types_are_checked(headers: Sequence[tuple[str, str]], status: int | None) -> None:
    origins = Origins(allowed_hosts("127.0.0.1", ()), ["https://friend.example/"])
    refusal = origins.refusal(scope_of("POST", *headers))
    assert (refusal and refusal[0]) == status


def test_get_requests_are_allowed_from_every_origin_but_not_for_every_host() -> None:
    origins = Origins(["localhost"])
    assert origins.refusal(scope_of("GET", ("host", "localhost"), ("origin", "https://evil.example"))) is None
    assert origins.refusal(scope_of("GET", ("host", "evil.example"))) is not None


def test_every_host_and_every_origin_can_be_allowed() -> None:
    headers = (("host", "somewhere.example"), ("origin", "https://else.example"))
    assert Origins([ANY], [ANY]).refusal(scope_of("POST", *headers)) is None


@pytest.mark.parametrize(
    ("listening", "named", "expected"),
    [
        ("127.0.0.1", (), {"localhost", "127.0.0.1", "::1"}),
        ("0.0.0.0", (), {ANY}),
        ("0.0.0.0", ("nmt.example",), {"localhost", "127.0.0.1", "::1", "0.0.0.0", "nmt.example"}),
        ("127.0.0.1", ("nmt.example",), {"localhost", "127.0.0.1", "::1", "nmt.example"}),
    ],
)
def test_allowed_hosts_depend_on_the_listening_address(
    listening: str, named: Sequence[str], expected: set[str]
) -> None:
    assert allowed_hosts(listening, named) == expected


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    """Returns the body of the request."""
    if scope["type"] == "http":
        body = await Request(scope, receive).body()
        await PlainTextResponse(body)(scope, receive, send)


async def with_errors(scope: Scope, receive: Receive, send: Send) -> None:
    """Handles HTTP errors as the real application does."""
    from starlette.exceptions import HTTPException

    try:
        await echo(scope, receive, send)
    except HTTPException as error:
        await PlainTextResponse(error.detail, error.status_code)(scope, receive, send)


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    gate = Gate(with_errors, Metrics(), Limits(arrival=SECONDS), Origins(["127.0.0.1"]))
    config: dict[str, Any] = {"port": 0, "log_level": "error", "access_log": False, "lifespan": "off"}
    server = uvicorn.Server(uvicorn.Config(gate, http=with_deadline(SECONDS), limit_concurrency=8, **config))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    thread.join()


def test_the_gate_admits_its_own_page_and_refuses_others_with_a_reason(port: int) -> None:
    url = f"http://127.0.0.1:{port}/"
    assert httpx.post(url, content=b"ours", headers={"Origin": url[:-1]}).text == "ours"
    refused = httpx.post(url, content=b"theirs", headers={"Origin": "https://evil.example"})
    assert refused.status_code == 403
    assert refused.json() == {
        "error": "pages of https://evil.example may not use this server; start it with --cors https://evil.example"
    }


@pytest.mark.parametrize(
    "unfinished",
    [
        b"",
        b"POST / HTTP/1.1\r\nHost: 127",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nGET / HT",  # after a complete request
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\nabc",
    ],
)
def test_a_client_that_does_not_finish_its_request_is_disconnected(port: int, unfinished: bytes) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(unfinished)
        begun, received = time.monotonic(), b""
        while chunk := client.recv(4096):
            received += chunk
            if b"abc" in unfinished and b"408" in received:
                break
        assert SECONDS / 2 < time.monotonic() - begun < 5
        assert (b"408" in received) == (b"abc" in unfinished)


def test_connections_beyond_the_limit_are_refused(port: int) -> None:
    held = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
    time.sleep(SECONDS / 4)
    assert httpx.get(f"http://127.0.0.1:{port}/").status_code == 503
    for each in held:
        each.close()
