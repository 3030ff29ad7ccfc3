"""Running text: `text:` (documents in plain files, for language models).

A document is yielded as pairs without a source whose targets, joined, are exactly its text: line breaks are part of it.
A long document becomes several sections, so that memory is bounded. The mark `CONTINUED` in place of a source says
that the document goes on in the next pair.
"""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, groupby
from operator import itemgetter

from keras_nmt.pipelines.sources.corpus import DOCUMENTS, Corpus, CorpusRequest, RawPair
from keras_nmt.pipelines.sources.files import read_parts
from keras_nmt.pipelines.sources.locating import locate

CONTINUED = b"+"
SECTION_BYTES = 1 << 16

_FILE, _PARAGRAPHS, _LINES = DOCUMENTS


def open_text(request: CorpusRequest) -> Corpus:
    """Opens `text:FILE`, whose documents are files, paragraphs or lines, according to `request.documents`.

    Blank lines separate paragraphs. Paragraphs and lines are yielded without the line end after them, and blank lines
    between them are skipped; files are yielded unchanged.
    """
    found = locate(request, "running text")
    origin = {"kind": "text", "spec": request.spec, "files": [file.describe() for file in found]}
    identity = ("text", str(request.pair), request.documents, [file.identify() for file in found])
    read_file = partial(read_documents, documents=request.documents)
    return Corpus(request.spec, origin, identity, lambda: chain.from_iterable(read_file(file.path) for file in found))


def read_documents(path: str, documents: str = _FILE) -> Iterator[RawPair]:
    """Yields the documents of a file in sections of at most 64 KiB.

    A section ends at a line end. Only a line that is longer than a section is cut elsewhere: before a space, or else
    between two characters.

    Args:
        path: The file.
        documents: One of `DOCUMENTS`, the part of the file that is a document.

    Raises:
        DataError: The file cannot be read, is damaged, or is in UTF-16.
    """
    parts = read_parts(path, SECTION_BYTES)
    if documents == _FILE:
        yield from _document(parts)
        return
    for number, group in groupby(_numbered(parts, documents), key=itemgetter(0)):
        if number is not None:
            yield from _document((part for _, part in group), keeps_line_end=False)


def _numbered(parts: Iterable[bytes], documents: str) -> Iterator[tuple[int | None, bytes]]:
    """Yields the parts of lines, each with the number of its document; blank lines belong to no document."""
    number, begins_line = 0, True
    for part in parts:
        is_blank = begins_line and not part.strip()
        begins_line = part.endswith(b"\n")
        yield None if is_blank else number, part
        if is_blank or (begins_line and documents == _LINES):
            number += 1


def _document(parts: Iterable[bytes], *, keeps_line_end: bool = True) -> Iterator[RawPair]:
    """Yields the sections of a document; all except the last have the mark `CONTINUED`."""
    section = b""
    for following in _sections(parts):
        if section:
            yield RawPair(CONTINUED, section)
        section = following
    if not keeps_line_end:
        section = section.removesuffix(b"\n").removesuffix(b"\r")
    if section:
        yield RawPair(b"", section)


def _sections(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Joins consecutive parts up to the size of a section."""
    section = bytearray()
    for part in parts:
        if len(section) + len(part) > SECTION_BYTES:
            yield bytes(section)
            section.clear()
        section += part
    if section:
        yield bytes(section)
