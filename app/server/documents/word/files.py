"""Functions that read and write Word documents. The server runs these functions in separate processes.

A document is an archive of XML files. Files in the archive without text are copied byte by byte.
"""

import io
import zipfile
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import PurePosixPath
from typing import NamedTuple

from lxml import etree
from lxml.etree import _Element as Element

from keras_nmt.app.server.documents.spans import Span
from keras_nmt.app.server.documents.tokens import has_letters
from keras_nmt.app.server.documents.word.leaves import TextUnit
from keras_nmt.app.server.documents.word.reading import text_units
from keras_nmt.app.server.documents.word.writing import replace_unit
from keras_nmt.app.server.errors import RequestError, TooLargeError

MAX_PARAGRAPHS = 5_000
MAX_RUNS = 20_000
MAX_TAGS = 400_000  # in all files of the archive together
MAX_FILES = 2_000
MAX_UNPACKED_BYTES = 16 * 1024 * 1024  # a small archive may expand to much more
CONTENT_TYPES = "[Content_Types].xml"
MAIN_TYPES = (
    "document.main+xml",
    "document.macroEnabled.main+xml",
    "template.main+xml",
    "template.macroEnabledTemplate.main+xml",
)
TEXT_TYPES = (*MAIN_TYPES, "header+xml", "footer+xml", "footnotes+xml", "endnotes+xml", "comments+xml")
PICTURE = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}docPr"
DESCRIPTION_ATTRIBUTES = ("descr", "title")


class PictureDescription(NamedTuple):
    """An XML attribute that contains the description of a picture."""

    element: Element
    name: str


def read_word(content: bytes, attributes: bool) -> list[list[str]]:
    """Returns the texts of a document, each as a list of spans: first the text units, then the descriptions.

    Args:
        content: Bytes of the file.
        attributes: True to also read the descriptions of pictures.

    Raises:
        RequestError: The file is not a Word document, or is damaged.
        TooLargeError: The document unpacks to too many bytes, or has too many paragraphs, runs, tags or files.
    """
    document = open_document(content)
    return [spans_of(place) for place in document.places(attributes)]


def write_word(content: bytes, attributes: bool, translations: Sequence[Sequence[Span]]) -> bytes:
    """Returns the document with translations in place of the texts that `read_word` returned.

    Args:
        content: Bytes of the file that `read_word` read.
        attributes: The value that was passed to `read_word`.
        translations: Spans of each translation, in the order of the texts.
    """
    document = open_document(content)
    for place, spans in zip(list(document.places(attributes)), translations, strict=True):
        if isinstance(place, PictureDescription):
            place.element.set(place.name, "".join(span.text for span in spans))
        else:
            replace_unit(place, spans)
    return document.packed()


def spans_of(place: TextUnit | PictureDescription) -> list[str]:
    """Returns the source spans of a text unit or of a picture description."""
    if isinstance(place, PictureDescription):
        return [place.element.get(place.name)]
    return [leaf.text for leaf in place]


def open_document(content: bytes) -> "Document":
    """Parses a document.

    Raises:
        RequestError: The file is not a Word document, or is damaged.
        TooLargeError: The document unpacks to too many bytes, or has too many paragraphs, runs, tags or files.
    """
    try:
        return Document(content)
    except (RequestError, MemoryError):
        raise
    except Exception as error:  # the libraries raise many kinds of errors for a damaged file
        raise RequestError("the file is not a Word document, or it is damaged") from error


class Document:
    """A Word document whose XML files with text are parsed.

    Attributes:
        paragraphs: All paragraphs of these XML files.
    """

    def __init__(self, content: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            self._files = archive.infolist()
            check_count(len(self._files), MAX_FILES, "files")
            check_count(sum(file.file_size for file in self._files), MAX_UNPACKED_BYTES, "bytes when it is unpacked")
            self._contents = [archive.read(file) for file in self._files]
        check_count(sum(content.count(b"<") for content in self._contents), MAX_TAGS, "tags")
        type_of = content_types(self._contents[[file.filename for file in self._files].index(CONTENT_TYPES)])
        types = [type_of(file.filename) for file in self._files]
        if not any(kind.endswith(MAIN_TYPES) for kind in types):
            raise RequestError("the file is an archive, but not a Word document")
        self._roots = {
            number: parse_xml(content)
            for number, (kind, content) in enumerate(zip(types, self._contents, strict=True))
            if kind.endswith(TEXT_TYPES)
        }
        self.paragraphs = list(islice(self._elements("p"), MAX_PARAGRAPHS + 1))
        check_count(len(self.paragraphs), MAX_PARAGRAPHS, "paragraphs")
        check_count(sum(1 for _ in islice(self._elements("r"), MAX_RUNS + 1)), MAX_RUNS, "runs")

    def _elements(self, name: str) -> Iterator[Element]:
        for root in self._roots.values():
            yield from root.iter(f"{{{etree.QName(root).namespace}}}{name}")

    def places(self, attributes: bool) -> Iterator[TextUnit | PictureDescription]:
        """Yields all text units. If `attributes` is true, then yields the descriptions of pictures that have letters.

        The caller may replace a text unit or description before the caller takes the next one.
        """
        for paragraph in self.paragraphs:
            yield from text_units(paragraph)
        for root in self._roots.values() if attributes else ():
            for element in root.iter(PICTURE):
                yield from (
                    PictureDescription(element, n) for n in DESCRIPTION_ATTRIBUTES if has_letters(element.get(n, ""))
                )

    def packed(self) -> bytes:
        """Returns the bytes of the document as a ZIP archive."""
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
            for number, (file, content) in enumerate(zip(self._files, self._contents, strict=True)):
                if number in self._roots:
                    tree = self._roots[number].getroottree()
                    xml = etree.tostring(tree, xml_declaration=True, encoding="UTF-8", standalone=True)
                archive.writestr(file, xml if number in self._roots else content)
        return written.getvalue()


def check_count(count: int, most: int, what: str) -> None:
    """Checks that the document has at most `most` parts of a kind.

    Args:
        count: Number of parts.
        most: Maximum number of parts.
        what: Name of the kind, for the error message.

    Raises:
        TooLargeError: `count` is more than `most`.
    """
    if count > most:
        raise TooLargeError(f"the document has more than {most} {what}")


def parse_xml(content: bytes) -> Element:
    """Returns the root of an XML file.

    Raises:
        RequestError: The file has a document type definition. Word never writes one, and the entities of such a
            definition may expand to a huge text.
    """
    root = etree.fromstring(content, etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False))
    if root.getroottree().docinfo.doctype:
        raise RequestError("the document has a document type definition, which no Word document has")
    return root


def content_types(content: bytes) -> Callable[[str], str]:
    """Parses the XML list of the content types of the files in the archive.

    Returns:
        A function that returns the content type of a file in the archive, or "" if the list lacks the file.
    """
    root = parse_xml(content)
    overrides = {e.get("PartName"): e.get("ContentType") for e in root.iter("{*}Override")}
    defaults = {str(e.get("Extension")).lower(): e.get("ContentType") for e in root.iter("{*}Default")}
    return lambda name: overrides.get(f"/{name}") or defaults.get(PurePosixPath(name).suffix[1:].lower()) or ""
