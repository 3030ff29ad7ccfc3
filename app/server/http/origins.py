"""Checks the headers Host and Origin of a request, so that web pages of other sites cannot use the server.

A web page in any browser tab can send requests to a server on the same machine. The browser writes the origin of the
page into the header Origin. In a DNS rebinding attack, an attacker's host name resolves to the address of this machine.
The header Host then contains the attacker's host name.
"""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.types import Scope

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = "*"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")


class Origins:
    """The allowed values of the Host and Origin headers.

    Args:
        hosts: Host names that the server answers to, without port; `ANY` allows every name.
        pages: Origins, such as https://example.org, whose web pages may use the server; `ANY` allows every origin.
    """

    def __init__(self, hosts: Collection[str], pages: Collection[str] = ()) -> None:
        self.hosts = {host.lower() for host in hosts}
        self.pages = {page.lower().rstrip("/") for page in pages}

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Returns the HTTP status and the error message if a request is refused, or None if the request is accepted.

        For methods in `SAFE_METHODS`, only the header Host is checked.
        """
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host")  # every browser sends this header
        if host is not None and ANY not in self.hosts and host_of(host) not in self.hosts:
            return 421, f"this server does not answer to the name {host_of(host)!r}; start it with --allowed-host"
        if scope["method"] in SAFE_METHODS:
            return None
        return self._refuse_page(headers, host or "") or _refuse_content(headers)

    def _refuse_page(self, headers: Mapping[bytes, str], host: str) -> tuple[int, str] | None:
        origin = headers.get(b"origin", "").lower()
        if not origin or ANY in self.pages or origin in self.pages or is_own(origin, host.lower()):
            return None
        return 403, f"pages of {origin} may not use this server; start it with --cors {origin}"


def _refuse_content(headers: Mapping[bytes, str]) -> tuple[int, str] | None:
    """Refuses text/plain, because a page of another site may send it without a CORS preflight request."""
    if headers.get(b"content-type", "").partition(";")[0].strip().lower() == "text/plain":
        return 415, "text/plain is not supported; send JSON as application/json"
    return None


def is_own(origin: str, host: str) -> bool:
    """Returns True if an origin has the host and port of the Host header.

    The default port of the origin's scheme is ignored, because a proxy may remove it.
    """
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = DEFAULT_PORTS.get(parts.scheme, "")
    return bool(parts.netloc) and parts.netloc.removesuffix(port) == host.removesuffix(port)


def host_of(header: str) -> str:
    """Returns the host name in a Host header, or "" if the header is invalid: [::1]:80 -> ::1."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def allowed_hosts(listening: str, named: Collection[str]) -> set[str]:
    """Returns the host names that the server answers to.

    Args:
        listening: Address on which the server listens.
        named: Host names that the operator allows.

    Returns:
        The host names in `named`, the names of this machine (`LOOPBACK`) and `listening`. If `named` is empty and
        `listening` is not in `LOOPBACK`, the result contains only `ANY`.
    """
    if listening in LOOPBACK or named:
        return {*LOOPBACK, listening, *named}
    return {ANY}
