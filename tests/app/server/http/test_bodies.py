"""Request bodies that are compressed, too large, damaged or incomplete; and HEAD requests."""

import gzip
import json
import logging
import os
import socket
import time
import zlib
from collections.abc import Iterator
from functools import partial

import httpx
import pytest
from starlette.exceptions import HTTPException

from keras_nmt.app.server.http.bodies import MAX_MEMBERS, Gunzip
from tests.app.server.serving import Running

JSON = {"Content-Type": "application/json"}
ASKED = {"q": "It rains.", "source": "en", "target": "de"}
GZIP = {"Content-Encoding": "gzip"}
as_gzip = partial(gzip.compress, mtime=0)  # deterministic, because the names of tests contain the bytes


def decompressed(packed: bytes, max_bytes: int = 10_000, step: int = 7) -> bytes:
    gunzip = Gunzip(max_bytes)
    parts = [packed[begin : begin + step] for begin in range(0, len(packed), step)]
    return b"".join(gunzip.feed(part, is_last=i + 1 == len(parts)) for i, part in enumerate(parts))


def test_gzip_is_decompressed_in_chunks_and_with_several_members() -> None:
    text = os.urandom(3000)
    for step in (1, 7, 100_000):
        assert decompressed(as_gzip(text), step=step) == text
        assert decompressed(as_gzip(text) + as_gzip(b"") + as_gzip(b"more"), step=step) == text + b"more"


@pytest.mark.parametrize(
    "damaged",
    [b"no gzip", as_gzip(b"x" * 99)[:-1], as_gzip(b"x") + b"behind", as_gzip(b"x")[:-4] + b"1234"],
)
def test_damaged_gzip_is_refused(damaged: bytes) -> None:
    with pytest.raises(HTTPException) as caught:
        decompressed(damaged)
    assert caught.value.status_code == 400
    assert "gzip" in caught.value.detail


def test_a_gzip_bomb_is_not_decompressed() -> None:
    bomb = as_gzip(bytes(10**7))
    gunzip = Gunzip(10_000)
    with pytest.raises(HTTPException) as caught:
        gunzip.feed(bomb, is_last=True)
    assert caught.value.status_code == 413
    assert gunzip._unpacked == 10_001
    with pytest.raises(HTTPException, match="not a complete gzip"):
        Gunzip(10_000).feed(as_gzip(b"") * (MAX_MEMBERS + 1), is_last=True)


def test_requests_may_be_compressed(copying_server: Running) -> None:
    packed = as_gzip(json.dumps(ASKED).encode())
    for encoding in ("gzip", "GZIP", "x-gzip", "identity, gzip"):
        answer = copying_server.post("/translate", content=packed, headers=JSON | {"Content-Encoding": encoding})
        assert answer.json() == {"translatedText": "It rains."}
    form = {"Content-Type": "application/x-www-form-urlencoded", **GZIP}
    answer = copying_server.post("/translate", content=as_gzip(b"q=Hi&source=en&target=de"), headers=form)
    assert answer.json() == {"translatedText": "Hi"}
    own = as_gzip(json.dumps({"text": "Hi", "source": "en", "target": "de"}).encode())
    assert copying_server.post("/api/translate", content=own, headers=JSON | GZIP).json()["translation"] == "Hi"
    plain = copying_server.post("/translate", ASKED, headers={"Content-Encoding": "identity"})
    assert plain.json() == {"translatedText": "It rains."}


@pytest.mark.parametrize("path", ["/translate", "/api/translate", "/v1/models/copies:predict"])
@pytest.mark.parametrize(
    ("body", "encoding", "status", "reason"),
    [
        (as_gzip(bytes(3 * 2**20)), "gzip", 413, "the body of a request may have at most 2097152 bytes"),
        (as_gzip(b"{}")[:-3], "gzip", 400, "the body is not a complete gzip file"),
        (b"{}", "gzip", 400, "the body is not valid gzip"),
        (zlib.compress(b"{}"), "deflate", 415, "the encoding deflate is not supported; send gzip or no encoding"),
        (b"{}", "gzip, gzip", 415, "the encoding gzip, gzip is not supported; send gzip or no encoding"),
    ],
)
def test_wrongly_compressed_requests_are_refused(
    copying_server: Running, *, path: str, body: bytes, encoding: str, status: int, reason: str
) -> None:
    answer = copying_server.post(path, content=body, headers=JSON | {"Content-Encoding": encoding})
    assert (answer.status_code, answer.json()) == (status, {"error": reason})


@pytest.mark.parametrize(
    "path", ["/", "/health", "/languages", "/metrics", "/docs", "/page/style.css", "/v1/models/copies", "/none"]
)
def test_head_is_answered_as_get_without_the_body(copying_server: Running, path: str) -> None:
    get, head = copying_server.get(path), httpx.head(copying_server.url + path)
    assert head.status_code == get.status_code
    assert head.content == b""
    assert head.headers["content-type"] == get.headers["content-type"]
    if path != "/metrics":
        assert head.headers["content-length"] == get.headers["content-length"]


def test_head_of_a_post_route_is_refused(copying_server: Running) -> None:
    assert httpx.head(copying_server.url + "/translate").status_code == 405


@pytest.fixture
def complaints() -> Iterator[list[str]]:
    """Messages that uvicorn logs as errors."""
    found: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: found.append(handler.format(record))  # type: ignore[method-assign]
    logging.getLogger("uvicorn.error").addHandler(handler)
    yield found
    logging.getLogger("uvicorn.error").removeHandler(handler)


def counted(running: Running, route: str) -> dict[str, float]:
    """Returns the number of answers of a route by status."""
    metric = running.service.metrics.requests
    samples = [one for one in metric.collect()[0].samples if one.name.endswith("_total")]
    return {one.labels["status"]: one.value for one in samples if one.labels["route"] == route}


FORM = "multipart/form-data; boundary=b"
PART = b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nIt ra'


@pytest.mark.parametrize(
    ("path", "route", "kind", "begun"),
    [
        ("/translate", "/translate", "application/json", b'{"q": "It'),
        ("/translate", "/translate", "application/x-www-form-urlencoded", b"q=It"),
        ("/translate_file", "/translate_file", FORM, PART),
        ("/api/translate", "/api/translate", "application/json", b'{"text": "It'),
        ("/api/stream", "/api/stream", "application/json", b'{"text": "It'),
        ("/v1/models/copies:predict", "/v1/models/{name}:predict", "application/json", b'{"instances": ["'),
    ],
)
@pytest.mark.parametrize("ends", ["closes", "resets"])
def test_a_client_that_disconnects_during_upload_is_not_a_server_error(
    copying_server: Running, complaints: list[str], *, path: str, route: str, kind: str, begun: bytes, ends: str
) -> None:
    before = counted(copying_server, route)
    host, port = copying_server.url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    head = f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: {kind}\r\nContent-Length: 100000\r\n\r\n"
    client.sendall(head.encode() + begun)
    time.sleep(0.05)  # the server has read it
    if ends == "resets":
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
    deadline = time.monotonic() + 10
    while (after := counted(copying_server, route)).get("499") != before.get("499", 0) + 1:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert not [status for status in after if status >= "5"]
    assert complaints == []


@pytest.mark.parametrize(
    "request_line",
    [
        b"OPTIONS * HTTP/1.1",
        b"CONNECT a:80 HTTP/1.1",
        b"GET http://[ HTTP/1.1",
        b"GET /\xff HTTP/1.1",
        b"GET /%00 HTTP/1.1",
    ],
)
def test_malformed_requests_are_answered_without_a_traceback(
    copying_server: Running, complaints: list[str], request_line: bytes
) -> None:
    host, port = copying_server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as client:
        client.sendall(request_line + b"\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.recv(100).startswith((b"HTTP/1.1 4", b"HTTP/1.1 3"))
    assert not any("Traceback" in one for one in complaints)


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Type": "multipart/form-data"}, b"x"),
        ({"Content-Type": "multipart/form-data; boundary=b"}, b"x"),
        (
            {"Content-Type": "multipart/form-data; boundary=b; charset=none"},
            b'--b\r\nContent-Disposition: form-data; name="q"\r\n\r\n\xff\r\n--b--\r\n',
        ),
        ({"Content-Type": "multipart/mixed; boundary=b"}, b"--b--"),
        ({"Content-Type": ";;;"}, b"x"),
        ({"Content-Type": "application/json; charset=none"}, b"\xff"),
        ({"Content-Type": "application/json", "Origin": "http://["}, b"{}"),
    ],
)
def test_malformed_bodies_are_refused(
    copying_server: Running, complaints: list[str], headers: dict[str, str], body: bytes
) -> None:
    answer = copying_server.post("/translate", content=body, headers=headers)
    assert answer.status_code in (400, 403)
    assert list(answer.json()) == ["error"]
    assert complaints == []


def test_the_content_type_of_a_form_is_case_insensitive(copying_server: Running) -> None:
    part = b'--b\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
    body = b"".join(part % one for one in ((b"q", b"Hi"), (b"source", b"en"), (b"target", b"de"))) + b"--b--\r\n"
    for kind in ("Multipart/Form-Data; boundary=b", "MULTIPART/FORM-DATA;Boundary=b"):
        answer = copying_server.post("/translate", content=body, headers={"Content-Type": kind})
        assert answer.json() == {"translatedText": "Hi"}
