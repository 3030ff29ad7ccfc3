"""Translation memories, `tmx:FILE`: translation units in TMX (1.4b and older), read as a stream.

The standard says which inline elements contain formatting codes and which contain text. Codes are dropped, and text is
kept. HTML's named entities become characters. A document that defines its own entities is rejected.
"""

from collections.abc import Iterator
from html.entities import html5
from itertools import chain
from typing import Any

from lxml import etree

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match, standard
from keras_nmt.pipelines.sources.corpus import Corpus, CorpusRequest, LanguagePair, Malformed, RawPair
from keras_nmt.pipelines.sources.files import first_line, open_stream
from keras_nmt.pipelines.sources.locating import locate

_XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
_CODES = {"bpt", "ept", "it", "ph", "ut"}
_SUBFLOW = "sub"  # text within a formatting code, such as a footnote; it is kept, with spaces around it


class _UnknownEntityError(Exception):
    """The error raised at an unknown entity. The message gives the entity's name and line."""


def open_tmx(request: CorpusRequest) -> Corpus:
    """Opens `tmx:FILE`. Translation units that lack one of the languages are skipped."""
    found = locate(request, f"units in {request.pair.source} and {request.pair.target}")
    origin = {"kind": "tmx", "spec": request.spec, "files": [file.describe() for file in found]}
    identity = ("tmx", str(request.pair), [file.identify() for file in found])
    return Corpus(
        request.spec, origin, identity, lambda: chain.from_iterable(read_tmx(file.path, request.pair) for file in found)
    )


def read_tmx(path: str, pair: LanguagePair) -> Iterator[RawPair]:
    """Yields pairs from the translation units that have both languages. Memory use does not grow with the file.

    The language codes in the file may have any spelling. If a unit has no text in `en`, `en` also matches `en-US`.

    Raises:
        DataError: The document is not well-formed, defines entities, or has no unit with both languages.
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
                reason = f" has an undefined entity ({error}); write it out"
                pair_of_texts = RawPair(b"", b"", malformed=Malformed(path, reason))
            yield pair_of_texts
    if languages and not found:
        raise DataError(
            f"{path} has no unit in both {pair.source} and {pair.target}; its languages are: "
            f"{', '.join(sorted(languages))}"
        )


def _read_units(path: str) -> Iterator[dict[str, Any]]:
    """Yields a dictionary for each translation unit: the first `seg` element of each language, by language."""
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
            found = events.error_log.last_error  # the exception itself reports the end of the last chunk
            reason = f"{found.message.strip()}, line {found.line}" if found else first_line(error)
            raise DataError(f"{path} is not well-formed TMX ({reason}); repair it or fetch it again") from error


def _refuse_entities(path: str, element: Any) -> None:
    declared = element.getroottree().docinfo.internalDTD
    if declared is not None and any(True for _ in declared.iterentities()):
        raise DataError(f"{path} defines entities of its own, which may expand without limit; write them out")


def _segments(unit: Any) -> dict[str, Any]:
    segments: dict[str, Any] = {}
    for variant in unit.iterchildren("{*}tuv"):
        language = variant.get(_XML_LANG) or variant.get("lang") or ""
        segment = next(variant.iterchildren("{*}seg"), None)
        if segment is not None:
            segments.setdefault(standard(language), segment)
    return segments


def _forget(unit: Any) -> None:
    """Frees the memory of a unit and of all earlier units, because lxml keeps the whole tree."""
    unit.clear()
    while unit.getprevious() is not None:
        del unit.getparent()[0]


def _choose(language: str, segments: dict[str, Any]) -> Any:
    name = match(language, segments)
    return None if name is None else segments[name]


def _text(segment: Any) -> bytes:
    text = "".join(_pieces(segment, is_code=False)).encode()
    return b" ".join(text.split())  # `bytes.split` splits at the white space of XML only


def _character(entity: Any) -> str:
    """Returns the character of one of HTML's named entities, such as `&eacute;`."""
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
