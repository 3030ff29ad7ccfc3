"""Compares the web and mail addresses in the source and the target of a pair.

Addresses consist of ASCII characters (RFC 3986), so an address ends at the first other character, such as a Chinese
full stop, a closing quotation mark or a Thai letter. Inflectional endings (`example.com'da`, `example.com:ssa`,
`example.com-on`) and trailing punctuation are removed.
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
_FORMAT = regex.compile(r"\p{Cf}")  # direction marks, zero-width spaces


def have_different_links(source: str, target: str) -> bool:
    """Returns True if the sides contain different web or mail addresses."""
    return _links(source) != _links(target)


def _links(text: str) -> set[str]:
    if not ("@" in text or "www." in text or "://" in text):
        return set()
    if not text.isascii():
        text = _FORMAT.sub("", text)
    return {_canonical(found) for found in _LINK.findall(text)}


def _canonical(link: str) -> str:
    """Returns an address without scheme, `www.`, endings and trailing punctuation, in lower case, for comparisons."""
    link = link.lower()
    if "@" in link and "/" not in link:
        return link
    link = _START.sub("", link, count=1)
    if link[:1].isascii():  # otherwise the host name is not in ASCII
        link = _NO_ASCII.sub("", unquote(link))
    host = _HOST_AND_PORT.match(link)
    if host and link[host.end() : host.end() + 1] not in {"/", "?", "#"}:
        link = host[0]
    for opening, closing in ("()", "[]"):
        if opening not in link:
            link = link.partition(closing)[0]
    return link.rstrip(string.punctuation)
