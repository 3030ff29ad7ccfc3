"""What proxies tell of a request, and the path below which they show the server.

A proxy asks in its own name; who asked it, by which name and scheme, it writes into headers. A client can write the
same headers, so they count only where they come from an address that the operator has named. A chain of them is read
from its end, where the nearest proxy writes, as far as the addresses are named ones.
"""

import re
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from app.errors import UserError

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Hop = Mapping[str, str]  # what one proxy tells: for, proto and host, where it tells them

SCHEMES = ("http", "https")
X_FORWARDED = {"for": b"x-forwarded-for", "proto": b"x-forwarded-proto", "host": b"x-forwarded-host"}
FORWARDED = b"forwarded"
# A pair of RFC 7239, such as for="[2001:db8::1]:80", and what ends it.
PAIR = re.compile(r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(;|,|$)""")


class Proxies:
    """Reads requests as the client of the outermost named proxy made them.

    Args:
        named: Where proxies are whose headers count.
        root_path: The path below which they show the server, such as /mt, or nothing. Whether they take it off before
            they ask or leave it makes no difference.
    """

    def __init__(self, named: Collection[Network] = (), root_path: str = "") -> None:
        self.named = tuple(named)
        self.root_path = root_path

    def original(self, scope: Scope) -> Scope:
        """The request as its client made it: address, scheme, Host header, and the whole path."""
        scope = {**scope, "root_path": self.root_path}
        if self.root_path and not f"{scope['path']}/".startswith(f"{self.root_path}/"):
            scope["path"] = self.root_path + scope["path"]
        client = scope.get("client")
        if not (self.named and client and self._is_named(address_of(client[0]))):
            return scope
        for hop in reversed(hops_of(scope)):
            scope |= told_by(hop, scope)
            address = address_of(hop.get("for", ""))
            if address is None:  # hidden, or nobody's: who is behind it cannot be known
                break
            scope["client"] = (str(address), 0)
            if not self._is_named(address):
                break
        return scope

    def _is_named(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self.named)


def path_below_root(scope: Scope) -> str:
    """The path of an original request without the path below which the server is shown."""
    path: str = scope["path"]
    return path[len(scope["root_path"]) :]


def told_by(hop: Hop, scope: Scope) -> Scope:
    """The scheme and the headers of a request, where a proxy tells them."""
    told: Scope = {}
    if hop.get("proto", "").lower() in SCHEMES:
        told["scheme"] = hop["proto"].lower()
    if hop.get("host"):
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        told["headers"] = [(b"host", hop["host"].encode("latin-1")), *others]
    return told


def hops_of(scope: Scope) -> list[Hop]:
    """What the proxies tell, the nearest last; nothing where it is told in two ways, of which a client wrote one."""
    headers: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, []).append(value.decode("latin-1"))
    given = {name: ",".join(headers[header]).split(",") for name, header in X_FORWARDED.items() if header in headers}
    if FORWARDED in headers:
        return [] if given else parsed(", ".join(headers[FORWARDED]))
    hops: list[dict[str, str]] = [{} for _ in range(max(map(len, given.values()), default=0))]
    for name, values in given.items():
        # A single value is of a proxy that writes it anew, however many wrote the others.
        of_each = values * len(hops) if len(values) == 1 else values
        for hop, value in zip(reversed(hops), reversed(of_each), strict=False):
            hop[name] = value.strip()
    return list(hops)


def parsed(header: str) -> list[Hop]:
    """The elements of a Forwarded header; none if it is not as RFC 7239 has it."""
    hops: list[dict[str, str]] = [{}]
    place = 0
    while place < len(header):
        pair = PAIR.match(header, place)
        if not pair:
            return []
        value = pair[2]
        hops[-1][pair[1].lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if pair[3] == ",":
            hops.append({})
        place = pair.end()
    return list(hops)


def address_of(text: str) -> Address | None:
    """An address, with or without a port: 192.0.2.1, 192.0.2.1:80, [2001:db8::1]:80; None for what is none."""
    in_brackets = re.fullmatch(r"\[(.*)\](:\d+)?", text)
    host = in_brackets[1] if in_brackets else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        address = ip_address(host.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def networks(named: Collection[str]) -> list[Network]:
    """Addresses and networks as a command line names them.

    Raises:
        UserError: One is neither.
    """
    found = []
    for name in named:
        try:
            found.append(ip_network(name, strict=False))
        except ValueError as error:
            raise UserError(f"--proxy is {name!r}; expected an address or a network, such as 10.0.0.0/8") from error
    return found


def root_path_of(path: str) -> str:
    """A path as a command line names it, with a slash before and none behind it; nothing for / alone.

    Raises:
        UserError: It is none that a browser would send.
    """
    whole = f"/{path.strip('/')}" if path.strip("/") else ""
    if not re.fullmatch(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*", whole):
        raise UserError(f"--root-path is {path!r}; expected a path such as /translate")
    return whole
