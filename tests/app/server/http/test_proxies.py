"""Requests through proxies: trusted headers, and links that lead back through the proxy."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from starlette.types import Scope

from keras_nmt.app.errors import UserError
from keras_nmt.app.server.http.proxies import Proxies, networks, root_path_of
from tests.app.server.serving import Running, serving

Headers = Sequence[tuple[str, str]]
CLIENT, FORGED, PROXY = "192.0.2.7", "6.6.6.6", "10.0.0.1"
BEHIND = {"X-Forwarded-For": CLIENT, "X-Forwarded-Proto": "https", "X-Forwarded-Host": "mt.example.org"}


def original(headers: Headers, asks: str = PROXY, *, path: str = "/x", root_path: str = "") -> Scope:
    coded = [(name.lower().encode(), value.encode()) for name, value in [("Host", "inside:8501"), *headers]]
    scope = {"type": "http", "path": path, "client": (asks, 1), "scheme": "http", "headers": coded}
    return Proxies(networks(["10.0.0.0/8", "2001:db8::1"]), root_path).original(scope)


@pytest.mark.parametrize(
    ("headers", "client", "scheme", "host"),
    [
        ([], PROXY, "http", "inside:8501"),
        (list(BEHIND.items()), CLIENT, "https", "mt.example.org"),
        ([("X-Forwarded-For", f"{FORGED}, {CLIENT}, 10.0.0.2")], CLIENT, "http", "inside:8501"),
        ([("X-Forwarded-For", FORGED), ("X-Forwarded-For", CLIENT)], CLIENT, "http", "inside:8501"),
        (
            [
                ("X-Forwarded-For", f"{FORGED}, {CLIENT}, 10.0.0.2"),
                ("X-Forwarded-Proto", "http, https, http"),
                ("X-Forwarded-Host", "evil.example, mt.example.org, between"),
            ],
            *(CLIENT, "https", "mt.example.org"),
        ),
        ([("X-Forwarded-Proto", "https")], PROXY, "https", "inside:8501"),
        ([("X-Forwarded-Proto", "javascript")], PROXY, "http", "inside:8501"),
        ([("X-Forwarded-For", "unknown")], PROXY, "http", "inside:8501"),
        (
            [
                (
                    "Forwarded",
                    f'for={FORGED};host=evil, For="[2001:db8::9]:4711" ; Proto=HTTPS;host="mt.example.org:8443"',
                )
            ],
            *("2001:db8::9", "https", "mt.example.org:8443"),
        ),
        ([("Forwarded", f"for={FORGED}, for={CLIENT};proto=https, for=10.0.0.2")], CLIENT, "https", "inside:8501"),
        ([("Forwarded", 'for="x'), ("Forwarded", f'for={CLIENT};host="h"')], PROXY, "http", "inside:8501"),
        ([("Forwarded", "for=_hidden;proto=https")], PROXY, "https", "inside:8501"),
        (
            [("Forwarded", f"for={FORGED}"), ("X-Forwarded-For", CLIENT)],
            PROXY,
            "http",
            "inside:8501",
        ),  # one of them is forged
    ],
)
def test_the_headers_of_trusted_proxies_restore_the_request(
    headers: Headers, client: str, scheme: str, host: str
) -> None:
    found = original(headers)
    assert (found["client"][0], found["scheme"], dict(found["headers"])[b"host"].decode()) == (client, scheme, host)


@pytest.mark.parametrize("asks", ["11.0.0.1", "2001:db8::2", "testclient"])
def test_the_headers_of_other_clients_are_ignored(asks: str) -> None:
    for headers in (list(BEHIND.items()), [("Forwarded", f"for={CLIENT};proto=https;host=mt.example.org")]):
        found = original(headers, asks)
        assert (found["client"][0], found["scheme"]) == (asks, "http")
        assert dict(found["headers"])[b"host"] == b"inside:8501"


def test_a_trusted_address_is_recognized_in_every_notation() -> None:
    assert original(list(BEHIND.items()), "::ffff:10.0.0.1")["client"][0] == CLIENT
    assert original([("X-Forwarded-For", f"[{CLIENT}]:80")], "2001:db8:0::1")["client"][0] == CLIENT


@pytest.mark.parametrize(("path", "whole"), [("/x", "/mt/x"), ("/mt/x", "/mt/x"), ("/mtx", "/mt/mtx"), ("/mt", "/mt")])
def test_a_proxy_may_strip_or_keep_the_root_path(path: str, whole: str) -> None:
    found = original([], path=path, root_path="/mt")
    assert (found["path"], found["root_path"]) == (whole, "/mt")


def test_addresses_and_root_paths_are_checked() -> None:
    with pytest.raises(UserError, match="--proxy is 'nginx'; expected an address or a network, such as 10"):
        networks(["127.0.0.1", "nginx"])
    assert [root_path_of(path) for path in ("", "/", "mt", "/mt/", "/a/b")] == ["", "", "/mt", "/mt", "/a/b"]
    for wrong in ("/a?b", "a b", "/..", "/a/./b", "/a//b", "/%20", "https://mt.example.org/mt"):
        with pytest.raises(UserError, match="expected a path such as /translate"):
            root_path_of(wrong)


@pytest.fixture(scope="module")
def behind(copies: Path) -> Iterator[Running]:
    """A server behind a proxy on this machine, with the root path /mt."""
    with serving(copies, proxies=Proxies(networks(["127.0.0.1"]), "/mt")) as running:
        yield running


def test_the_page_works_below_a_root_path(behind: Running) -> None:
    assert httpx.get(behind.url + "/mt").headers["location"] == "/mt/"
    for below in ("/mt/", "/"):
        page = behind.get(below)
        links = re.findall(r'(?:src|href)="([^"]*)"', page.text)
        assert len(links) > 3
        assert not any(link.startswith("/") for link in links)
        for link in links:
            assert behind.get(below + link).status_code == 200, link


def test_the_openapi_description_has_the_root_path(behind: Running) -> None:
    for below in ("/mt", ""):
        assert "/mt/openapi.json" in behind.get(f"{below}/docs").text
        assert "unsafe-inline" in behind.get(f"{below}/docs").headers["content-security-policy"]
        assert behind.ok(f"{below}/openapi.json")["servers"] == [{"url": "/mt"}]


def translated_file(running: Running, headers: dict[str, str]) -> str:
    form = {"source": "en", "target": "de"}
    answer = running.post("/translate_file", data=form, files={"file": ("a.txt", b"It rains.")}, headers=headers)
    url: str = answer.json()["translatedFileUrl"]
    return url


def test_the_link_to_a_file_has_the_address_of_the_proxy(behind: Running, copying_server: Running) -> None:
    url = translated_file(behind, BEHIND | {"Origin": "https://mt.example.org"})
    assert url.startswith("https://mt.example.org/mt/download_file/")
    for path in (httpx.URL(url).path, httpx.URL(url).path.removeprefix("/mt")):
        assert behind.get(path).text == "It rains."
    assert translated_file(copying_server, BEHIND).startswith(copying_server.url)  # it trusts no proxy


def test_clients_behind_a_proxy_have_separate_rate_limits(behind: Running) -> None:
    asked = {"q": "It rains.", "source": "en", "target": "de"}
    behind.service.limiter.per_minute = 1
    try:
        codes = [
            behind.post("/translate", asked, headers={"X-Forwarded-For": client}).status_code
            for client in ("192.0.2.1", "192.0.2.2", "192.0.2.1")
        ]
    finally:
        behind.service.limiter.per_minute = 0
    assert codes == [200, 200, 429]
