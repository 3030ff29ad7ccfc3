"""Translation memories, `tmx:FILE`: units of the languages in TMX (1.4b and older), read as a stream.

Of inline elements the native codes are dropped and the text is kept, as the standard tells them apart. Entities by
HTML's names are characters; a document that defines entities of its own is refused.
"""

from collections.abc import Iterator
from html.entities import html5
from itertools import chain
from typing import Any

from lxml import etree

from pipelines.errors import DataError
from pipelines.language_codes import match, standard
from pipelines.sources.corpus import Corpus, LanguagePair, Malformed, RawPair, Request
from pipelines.sources.files import first_line, open_stream
from pipelines.sources.locating import locate

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_CODES = {"bpt", "ept", "it", "ph", "ut"}
_SUBFLOW = "sub"  # text within a code, such as a footnote's: kept, and set off from what surrounds the code


class _UnknownEntityError(Exception):
    """An entity's name and its line."""


def open_tmx(request: Request) -> Corpus:
    """Gives the corpus of `tmx:FILE`; units that lack one of the languages are passed over."""
    found = locate(request, f"units in {request.pair.source} and {request.pair.target}")
    origin = {"kind": "tmx", "spec": request.spec, "files": [file.describe() for file in found]}
    identity = ("tmx", str(request.pair), [file.identify() for file in found])
    return Corpus(
        request.spec, origin, identity, lambda: chain.from_iterable(read_tmx(file.path, request.pair) for file in found)
    )


def read_tmx(path: str, pair: LanguagePair) -> Iterator[RawPair]:
    """Yields the units that have both languages; memory does not grow with the file.

    The name of a language may be spelt in any way, and `en` is also found as `en-US` if there is no `en` in the unit.

    Raises:
        DataError: if the document is not well-formed, defines entities, or no unit has both languages.
    """
    languages: set[str] = set()
    found = False
    for segments in _read_units(path):
        languages |= segments.keys()
        source, target = _choose(pair.source, segments), _choose(pair.target, segments)
        if source is not None and target is not None:
            found = True
            try:
                pair_of_texts = RawPair(_text(source), _text(target))
            except _UnknownEntityError as error:
                reason = f" has an entity that is nowhere defined ({error}); write it out"
                pair_of_texts = RawPair(b"", b"", malformed=Malformed(path, reason))
            yield pair_of_texts
    if languages and not found:
        raise DataError(
            f"{path} has no unit in both {pair.source} and {pair.target}; its languages are: "
            f"{', '.join(sorted(languages))}"
        )


def _read_units(path: str) -> Iterator[dict[str, Any]]:
    """Yields the `seg` element of each language of each unit, the first where there are several."""
    with open_stream(path) as file:
        events = etree.iterparse(
            file,
            events=("start", "end"),
            tag=("{*}tmx", "{*}tu"),
            resolve_entities=False,
            no_network=True,
            load_dtd=False,
            huge_tree=False,
        )
        try:
            for event, element in events:
                if event == "start":
                    _refuse_entities(path, element)
                elif etree.QName(element).localname == "tu":
                    yield _segments(element)
                    _forget(element)
        except etree.XMLSyntaxError as error:
            found = events.error_log.last_error  # the exception itself tells the end of the document's last piece
            reason = f"{found.message.strip()}, line {found.line}" if found else first_line(error)
            raise DataError(f"{path} is not well-formed TMX ({reason}); mend or fetch it again") from error


def _refuse_entities(path: str, element: Any) -> None:
    declared = element.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise DataError(f"{path} defines entities of its own, which may hide any amount of text; write them out")


def _segments(unit: Any) -> dict[str, Any]:
    segments: dict[str, Any] = {}
    for variant in unit.iterchildren("{*}tuv"):
        language = variant.get(_XML_LANG) or variant.get("lang") or ""
        segment = next(variant.iterchildren("{*}seg"), None)
        if segment is not None:
            segments.setdefault(standard(language), segment)
    return segments


def _forget(unit: Any) -> None:
    """Frees a unit and those before it: lxml keeps the tree that it has built."""
    unit.clear()
    while unit.getprevious() is not None:
        del unit.getparent()[0]


def _choose(language: str, segments: dict[str, Any]) -> Any:
    name = match(language, segments)
    return None if name is None else segments[name]


def _text(segment: Any) -> bytes:
    text = "".join(_pieces(segment, is_code=False)).encode()
    return b" ".join(text.split())  # of bytes, split knows the white space of XML and no other


def _character(entity: Any) -> str:
    """The character of an entity by its name in HTML, as `&eacute;`, which a document's own grammar may permit."""
    if f"{entity.name};" not in html5:
        raise _UnknownEntityError(f"{entity.text}, line {entity.sourceline}")
    return html5[f"{entity.name};"]


def _pieces(element: Any, *, is_code: bool) -> Iterator[str]:
    if not is_code:
        yield element.text or ""
    for child in element:
        name = etree.QName(child).localname if isinstance(child.tag, str) else None  # a comment has no name
        if child.tag is etree.Entity and not is_code:
            yield _character(child)
        if name == _SUBFLOW:
            yield " "
        if name:
            yield from _pieces(child, is_code=name in _CODES)
        if name == _SUBFLOW:
            yield " "
        if not is_code:
            yield child.tail or ""
