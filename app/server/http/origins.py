"""Which names a server answers to, and which pages of other sites may use it.

A page in any browser tab can send requests to a server on the same machine. A browser tells where they come from in the
header Origin; a page whose own name was made to point at this machine (DNS rebinding) betrays itself in Host.
"""

from collections.abc import Collection, Mapping
from urllib.parse import urlsplit

from starlette.types import Scope

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = "*"
DEFAULT_PORTS = {"http": ":80", "https": ":443"}
WITHOUT_EFFECT = ("GET", "HEAD", "OPTIONS")


class Origins:
    """Refuses what comes under another name or from another site's page.

    Args:
        hosts: The names that the server answers to, without port; `ANY` among them is every name.
        pages: Origins, such as https://example.org, whose pages may use the server; `ANY` among them is every one.
    """

    def __init__(self, hosts: Collection[str], pages: Collection[str] = ()) -> None:
        self.hosts = {host.lower() for host in hosts}
        self.pages = {page.lower().rstrip("/") for page in pages}

    def refusal(self, scope: Scope) -> tuple[int, str] | None:
        """The status and the message with which a request is refused; None if it is not."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        host = headers.get(b"host")  # which every browser sends
        if host is not None and ANY not in self.hosts and host_of(host) not in self.hosts:
            return 421, f"this server does not answer to the name {host_of(host)!r}; start it with --allowed-host"
        if scope["method"] in WITHOUT_EFFECT:
            return None
        return self._of_page(headers, host or "") or _of_content(headers)

    def _of_page(self, headers: Mapping[bytes, str], host: str) -> tuple[int, str] | None:
        origin = headers.get(b"origin", "").lower()
        if not origin or ANY in self.pages or origin in self.pages or is_own(origin, host.lower()):
            return None
        return 403, f"pages of {origin} may not use this server; start it with --cors {origin}"


def _of_content(headers: Mapping[bytes, str]) -> tuple[int, str] | None:
    """What a page of another site may send without being asked for leave, a form apart, is no JSON."""
    if headers.get(b"content-type", "").partition(";")[0].strip().lower() == "text/plain":
        return 415, "text/plain is not taken; send JSON as application/json"
    return None


def is_own(origin: str, host: str) -> bool:
    """Whether an origin is the server's own by its Host header, from which a proxy may have taken the port, or not."""
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    port = DEFAULT_PORTS.get(parts.scheme, "")
    return bool(parts.netloc) and parts.netloc.removesuffix(port) == host.removesuffix(port)


def host_of(header: str) -> str:
    """The name in a Host header: example.org:80 -> example.org, [::1]:80 -> ::1."""
    try:
        return urlsplit(f"//{header}").hostname or ""
    except ValueError:
        return ""


def allowed_hosts(listening: str, named: Collection[str]) -> set[str]:
    """The names that a server answers to: those named, and its own if it listens for this machine alone.

    One that others reach answers to every name, unless some are named.
    """
    if listening in LOOPBACK or named:
        return {*LOOPBACK, listening, *named}
    return {ANY}
