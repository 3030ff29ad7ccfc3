"""Word documents in and out: which text is translated, and how the translation is put in its place.

A document is an archive of XML files; those that have no text stay as they are, byte by byte. Nothing here translates,
and nothing needs TensorFlow, so that it can run in processes of its own.
"""

import io
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from lxml import etree

from app.server.documents.parts import Part
from app.server.documents.tokens import has_letters
from app.server.documents.word_text import Stretch, replace_stretch, stretches_of
from app.server.errors import RequestError, TooLargeError

MOST_PARAGRAPHS = 5_000
MOST_RUNS = 20_000
MOST_TAGS = 400_000  # of all files in the archive
MOST_FILES = 2_000
MOST_UNPACKED = 16 * 1024 * 1024  # bytes; a small archive may hold very much more
TYPES = "[Content_Types].xml"
MAIN = (
    "document.main+xml",
    "document.macroEnabled.main+xml",
    "template.main+xml",
    "template.macroEnabledTemplate.main+xml",
)
TEXT = (*MAIN, "header+xml", "footer+xml", "footnotes+xml", "endnotes+xml", "comments+xml")
PICTURE = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
DESCRIPTIONS = ("descr", "title")


class Description(NamedTuple):
    """What is said of a picture for those who do not see it."""

    element: Any
    name: str


def read_word(content: bytes, attributes: bool) -> list[list[str]]:
    """The texts of a document, each in parts.

    Args:
        content: The file.
        attributes: Whether the descriptions of pictures are among them.

    Raises:
        RequestError: It is no Word document, or damaged.
        TooLargeError: It unpacks to too much, or has too many paragraphs, runs, tags or files.
    """
    document = opened(content)
    return [text_of(place) for place in document.places(attributes)]


def write_word(content: bytes, attributes: bool, translations: Sequence[Sequence[Part]]) -> bytes:
    """The document with the translations of the texts that `read_word` gave."""
    document = opened(content)
    for place, parts in zip(list(document.places(attributes)), translations, strict=True):
        if isinstance(place, Description):
            place.element.set(place.name, "".join(part.text for part in parts))
        else:
            replace_stretch(place, parts)
    return document.packed()


def text_of(place: Stretch | Description) -> list[str]:
    """What is to be translated, in parts."""
    if isinstance(place, Description):
        return [place.element.get(place.name)]
    return [leaf.text for leaf in place]


def opened(content: bytes) -> "Document":
    """Reads a document.

    Raises:
        RequestError: It is no Word document, or damaged.
        TooLargeError: It unpacks to too much, or has too many paragraphs, runs, tags or files.
    """
    try:
        return Document(content)
    except (RequestError, MemoryError):
        raise
    except Exception as error:  # whatever the libraries trip over
        raise RequestError("the file is no Word document, or it is damaged") from error


class Document:
    """A document whose files with text are parsed."""

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            self._files = archive.infolist()
            check(len(self._files), MOST_FILES, "files")
            check(sum(file.file_size for file in self._files), MOST_UNPACKED, "bytes when it is unpacked")
            self._contents = [archive.read(file) for file in self._files]
        check(sum(content.count(b"<") for content in self._contents), MOST_TAGS, "tags")
        kinds = types_of(self._contents[[file.filename for file in self._files].index(TYPES)])
        of_files = [kinds(file.filename) for file in self._files]
        if not any(kind.endswith(MAIN) for kind in of_files):
            raise RequestError("the file is an archive, but no Word document")
        self._roots = {
            number: parsed(content)
            for number, (kind, content) in enumerate(zip(of_files, self._contents, strict=True))
            if kind.endswith(TEXT)
        }
        self.paragraphs = list(islice(self._elements("p"), MOST_PARAGRAPHS + 1))
        check(len(self.paragraphs), MOST_PARAGRAPHS, "paragraphs")
        check(sum(1 for _ in islice(self._elements("r"), MOST_RUNS + 1)), MOST_RUNS, "runs")

    def _elements(self, name: str) -> Iterator[Any]:
        for root in self._roots.values():
            yield from root.iter(f"{{{etree.QName(root).namespace}}}{name}")

    def places(self, attributes: bool) -> Iterator[Stretch | Description]:
        """Where there is something to translate; what is before one that is given may be replaced already."""
        for paragraph in self.paragraphs:
            yield from stretches_of(paragraph)
        for root in self._roots.values() if attributes else ():
            for element in root.iter(PICTURE):
                yield from (Description(element, n) for n in DESCRIPTIONS if has_letters(element.get(n, "")))

    def packed(self) -> bytes:
        """The archive."""
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, (file, content) in enumerate(zip(self._files, self._contents, strict=True)):
                if number in self._roots:
                    tree = self._roots[number].getroottree()
                    xml = etree.tostring(tree, xml_declaration=True, encoding="UTF-8", standalone=True)
                archive.writestr(file, xml if number in self._roots else content)
        return written.getvalue()


def check(count: int, most: int, what: str) -> None:
    """Refuses what is too much.

    Raises:
        TooLargeError: `count` is more than `most`.
    """
    if count > most:
        raise TooLargeError(f"the document has more than {most} {what}")


def parsed(content: bytes) -> Any:
    """The root of an XML file.

    Raises:
        RequestError: It defines entities, which Word does not, and which may stand for very much text.
    """
    root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))
    if root.getroottree().docinfo.doctype:
        raise RequestError("the document has a document type definition, which no Word document has")
    return root


def types_of(content: bytes) -> Any:
    """Returns a function from the name of a file in the archive to its type."""
    root = parsed(content)
    names = {e.get("PartName"): e.get("ContentType") for e in root.iter("{*}Override")}
    endings = {str(e.get("Extension")).lower(): e.get("ContentType") for e in root.iter("{*}Default")}
    return lambda name: names.get(f"/{name}") or endings.get(PurePosixPath(name).suffix[1:].lower()) or ""
