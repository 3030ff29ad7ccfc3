"""Restores the original client, host, scheme and path of requests that come through reverse proxies.

A proxy sends requests from its own address. It puts the client's address and the requested host and scheme into the
header Forwarded (RFC 7239) or X-Forwarded-*. A client can forge these headers, so the server reads them only from
trusted proxies, which the operator names. In a chain of proxies, each proxy appends its values to the headers. The
server reads the values from the last proxy to the first. It stops at the first address that is not a trusted proxy.
"""

import re
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

from keras_nmt.app.errors import UserError

IpNetwork = IPv4Network | IPv6Network
IpAddress = IPv4Address | IPv6Address
Hop = Mapping[str, str]  # values that one proxy added; the keys are "for", "proto" and "host"

SCHEMES = ("http", "https")
X_FORWARDED = {"for": b"x-forwarded-for", "proto": b"x-forwarded-proto", "host": b"x-forwarded-host"}
FORWARDED = b"forwarded"
# A parameter of RFC 7239, such as for="[2001:db8::1]:80", and the character that ends it.
PARAMETER = re.compile(r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]*)\s*(;|,|$)""")


class Proxies:
    """Restores the client's address, scheme, Host header and path of requests that trusted proxies forward.

    Args:
        trusted: Networks of the trusted proxies.
        root_path: Path under which the proxies publish this server, such as /mt; "" for none. A proxy may remove this
            path from the requests or keep it.
    """

    def __init__(self, trusted: Collection[IpNetwork] = (), root_path: str = "") -> None:
        self.trusted = tuple(trusted)
        self.root_path = root_path

    def original(self, scope: Scope) -> Scope:
        """Returns the scope of the request that the client sent. The path in this scope begins with the root path.

        The client's address, the scheme and the Host header come from the headers of the trusted proxies. If the
        request does not come from a trusted proxy, these three values stay unchanged.
        """
        scope = {**scope, "root_path": self.root_path}
        if self.root_path and not f"{scope['path']}/".startswith(f"{self.root_path}/"):
            scope["path"] = self.root_path + scope["path"]
        client = scope.get("client")
        if not (self.trusted and client and self._is_trusted(address_of(client[0]))):
            return scope
        for hop in reversed(hops_of(scope)):
            scope |= forwarded_by(hop, scope)
            address = address_of(hop.get("for", ""))
            if address is None:  # obfuscated or invalid, so the earlier hops cannot be checked
                break
            scope["client"] = (str(address), 0)
            if not self._is_trusted(address):
                break
        return scope

    def _is_trusted(self, address: IpAddress | None) -> bool:
        return address is not None and any(address in network for network in self.trusted)


def path_below_root(scope: Scope) -> str:
    """Returns the path of a request without the root path.

    Args:
        scope: Scope that `Proxies.original` returned.
    """
    path: str = scope["path"]
    return path[len(scope["root_path"]) :]


def forwarded_by(hop: Hop, scope: Scope) -> Scope:
    """Returns new values for the entries `scheme` and `headers` of a scope.

    An entry is missing from the result if the proxy added no valid value for it.

    Args:
        hop: Values that one proxy added.
        scope: Scope of the request.
    """
    forwarded: Scope = {}
    if hop.get("proto", "").lower() in SCHEMES:
        forwarded["scheme"] = hop["proto"].lower()
    if hop.get("host"):
        others = [(name, value) for name, value in scope["headers"] if name != b"host"]
        forwarded["headers"] = [(b"host", hop["host"].encode("latin-1")), *others]
    return forwarded


def hops_of(scope: Scope) -> list[Hop]:
    """Returns the values that each proxy added to the headers, in the order from the client to this server.

    If a request has both Forwarded and X-Forwarded-*, the result is empty, because a client may have forged either.
    """
    headers: dict[bytes, list[str]] = {}
    for name, value in scope["headers"]:
        headers.setdefault(name, []).append(value.decode("latin-1"))
    given = {name: ",".join(headers[header]).split(",") for name, header in X_FORWARDED.items() if header in headers}
    if FORWARDED in headers:
        return [] if given else parse_forwarded(", ".join(headers[FORWARDED]))
    hops: list[dict[str, str]] = [{} for _ in range(max(map(len, given.values()), default=0))]
    for name, values in given.items():
        # A single value comes from a proxy that overwrites the header. It is valid for all hops.
        by_hop = values * len(hops) if len(values) == 1 else values
        for hop, value in zip(reversed(hops), reversed(by_hop), strict=False):
            hop[name] = value.strip()
    return list(hops)


def parse_forwarded(header: str) -> list[Hop]:
    """Returns the elements of a Forwarded header in order, or [] if the header does not follow RFC 7239.

    Each element contains the values that one proxy added.
    """
    hops: list[dict[str, str]] = [{}]
    place = 0
    while place < len(header):
        parameter = PARAMETER.match(header, place)
        if not parameter:
            return []
        name, value, separator = parameter.groups()
        hops[-1][name.lower()] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
        if separator == ",":
            hops.append({})
        place = parameter.end()
    return list(hops)


def address_of(text: str) -> IpAddress | None:
    """Parses an address with or without a port: 192.0.2.1, 192.0.2.1:80, [2001:db8::1]:80.

    Returns:
        The address, or None if the text is not an address. An IPv4-mapped IPv6 address becomes an IPv4 address.
    """
    in_brackets = re.fullmatch(r"\[(.*)\](:\d+)?", text)
    host = in_brackets[1] if in_brackets else text.partition(":")[0] if text.count(":") == 1 else text
    try:
        address = ip_address(host.strip())
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address


def networks(names: Collection[str]) -> list[IpNetwork]:
    """Parses addresses and networks from the command line. An address becomes a network of one address.

    Raises:
        UserError: One of `names` is neither an address nor a network.
    """
    found = []
    for name in names:
        try:
            found.append(ip_network(name, strict=False))
        except ValueError as error:
            raise UserError(f"--proxy is {name!r}; expected an address or a network, such as 10.0.0.0/8") from error
    return found


def root_path_of(path: str) -> str:
    """Normalizes a root path from the command line.

    The result begins with a slash and does not end with one. The path "/" becomes "".

    Raises:
        UserError: The path contains a segment that is empty, "." or "..", or a character other than ASCII letters,
            digits and "._~-".
    """
    normalized = f"/{path.strip('/')}" if path.strip("/") else ""
    if not re.fullmatch(r"(/(?!\.{1,2}(/|$))[A-Za-z0-9._~-]+)*", normalized):
        raise UserError(f"--root-path is {path!r}; expected a path such as /translate")
    return normalized
