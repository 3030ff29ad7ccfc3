"""Tells whether two translations hold different web or mail addresses.

In any script an address is told from the text around it: it is compared by its ASCII characters, of which addresses
are made (RFC 3986), up to the first other one, be that a Chinese full stop, a closing quotation mark or a Thai letter.
Endings of words (`example.com'da`, `example.com:ssa`, `example.com-on`) and the punctuation behind it are no part.
"""

import re
import string
from urllib.parse import unquote

import regex

_IN_URL = r"[a-z0-9\-._~:/?#\[\]@!$&()*+,;=%]"
_HOST = r"(?:[a-z0-9-]+\.)+[a-z]{2,}"
_LINK = re.compile(
    rf"(?:https?://|(?<![a-z0-9])www\.)(?:{_IN_URL}+|[^\W_][\w.-]*{_IN_URL}*)"
    rf"|(?<![a-z0-9._%+-])[a-z0-9._%+-]{{1,64}}@{_HOST}",
    re.IGNORECASE,
)
_START = re.compile(r"(?:https?://)?(?:www\.)?")
_HOST_AND_PORT = re.compile(rf"{_HOST}(?::[0-9]+)?")
_NO_ASCII = re.compile("[^\x00-\x7f].*", re.DOTALL)
_FORMAT = regex.compile(r"\p{Cf}")  # marks of direction, zero-width spaces


def have_other_links(source: str, target: str) -> bool:
    """Tells whether the sides hold different web or mail addresses."""
    return _links(source) != _links(target)


def _links(text: str) -> set[str]:
    if not ("@" in text or "www." in text or "://" in text):
        return set()
    if not text.isascii():
        text = _FORMAT.sub("", text)
    return {_essence(found) for found in _LINK.findall(text)}


def _essence(link: str) -> str:
    """Returns what two ways to write one address have in common."""
    link = link.lower()
    if "@" in link and "/" not in link:
        return link
    link = _START.sub("", link, count=1)
    if link[:1].isascii():  # else the host itself is not
        link = _NO_ASCII.sub("", unquote(link))
    host = _HOST_AND_PORT.match(link)
    if host and link[host.end() : host.end() + 1] not in {"/", "?", "#"}:
        link = host[0]
    for opening, closing in ("()", "[]"):
        if opening not in link:
            link = link.partition(closing)[0]
    return link.rstrip(string.punctuation)
