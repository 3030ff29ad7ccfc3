"""Files in, files of the same kind out: plain text, HTML, and Word documents."""

import asyncio
import copy
import io
import zipfile
from collections.abc import Iterator
from itertools import groupby, islice
from pathlib import PurePath
from typing import Any

from docx import Document
from docx.text.paragraph import Paragraph
from docx.text.run import Run

from app.server.batching import Batcher
from app.server.errors import RequestError, TooLargeError
from app.server.limits import Limits
from app.server.marked_text import Part, translate_parts
from app.server.markup import translate_html
from app.server.translation import translate
from app.server.versions import Direction

MOST_PARAGRAPHS = 5_000
MOST_RUNS = 20_000
MOST_TAGS = 400_000  # of all parts of a Word document
W = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
IN_TEXT = frozenset(f"{W}{name}" for name in ("rPr", "t", "tab", "br"))  # what a run of text alone holds
FORMATS = (".txt", ".html", ".htm", ".docx")
MOST_UNPACKED = 16 * 1024 * 1024  # bytes of a Word document's parts; a small archive may hold very much more


async def translate_document(
    batcher: Batcher, direction: Direction, name: str, content: bytes, limits: Limits
) -> bytes:
    """Translates a file, whose kind its name tells.

    Raises:
        RequestError: It is of no kind in `FORMATS`, or damaged.
        TooLargeError: It has more characters than the limits allow, or unpacks to more than `MOST_UNPACKED`.
    """
    kind = PurePath(name).suffix.lower()
    if kind not in FORMATS:
        raise RequestError(f"cannot translate {kind or 'a file without an ending'}; known: {', '.join(FORMATS)}")
    if kind == ".docx":
        return await translate_word(batcher, direction, content, limits)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError("the file is not in UTF-8") from error
    limits.check([text])
    if kind == ".txt":
        (found,) = await translate(batcher, direction, [text])
        return found.text.encode("utf-8")
    return (await translate_html(batcher, direction, text)).encode("utf-8")


async def translate_word(batcher: Batcher, direction: Direction, content: bytes, limits: Limits) -> bytes:
    """Translates a Word document; what is bold stays with its words, and pictures and fields stay where they are."""
    document, stretches = await asyncio.to_thread(opened, content)
    texts = [[run.text for run in runs] for runs in stretches]
    limits.check(["".join(text for runs in texts for text in runs)])
    for runs, parts in zip(stretches, await translate_parts(batcher, direction, texts), strict=True):
        replace_runs(runs, parts)
    written = io.BytesIO()
    await asyncio.to_thread(document.save, written)
    return written.getvalue()


def opened(content: bytes) -> tuple[Any, list[list[Run]]]:
    """A Word document and the stretches of its text.

    Raises:
        RequestError: It is none, or damaged.
        TooLargeError: It unpacks to more than `MOST_UNPACKED`, or has more paragraphs, runs or tags than may be.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            too_much = sum(part.file_size for part in archive.infolist()) > MOST_UNPACKED
            too_much = too_much or sum(archive.read(part).count(b"<") for part in archive.infolist()) > MOST_TAGS
        if not too_much:
            document = Document(io.BytesIO(content))
            paragraphs = list(islice(paragraphs_of(document), MOST_PARAGRAPHS + 1))
            runs = sum(1 for paragraph in paragraphs for _ in islice(paragraph._p.iter(f"{W}r"), MOST_RUNS + 1))
            too_much = len(paragraphs) > MOST_PARAGRAPHS or runs > MOST_RUNS
        if not too_much:
            stretches = [runs for paragraph in paragraphs for runs in stretches_of(paragraph)]
    except Exception as error:  # whatever the libraries trip over
        raise RequestError("the file is no Word document, or it is damaged") from error
    if too_much:
        raise TooLargeError("the document unpacks to too much")
    return document, stretches


def paragraphs_of(document: Any) -> Iterator[Paragraph]:
    """Those of the text, of tables, and of headers and footers."""
    edges = [edge for section in document.sections for edge in (section.header, section.footer)]
    for place in [document, *(edge for edge in edges if not edge.is_linked_to_previous)]:
        for element in place._element.iter(f"{W}p"):
            yield Paragraph(element, place)


def stretches_of(paragraph: Paragraph) -> Iterator[list[Run]]:
    """Neighbouring runs of a paragraph that hold text alone, where there is some."""
    runs = {run._r: run for run in paragraph.runs}
    for _, elements in groupby(paragraph._p, key=lambda child: child in runs and all(c.tag in IN_TEXT for c in child)):
        found = [runs[element] for element in elements if element in runs]
        if any(run.text.strip() for run in found) and all(child.tag in IN_TEXT for run in found for child in run._r):
            yield found


def replace_runs(runs: list[Run], parts: list[Part]) -> None:
    """Puts the translation in the place of runs, each part in a copy of the run it looks like."""
    place = runs[0]._r
    for number, text in parts:
        made = copy.deepcopy(runs[number]._r)
        place.addprevious(made)
        Run(made, runs[number]._parent).text = text
    for run in runs:
        run._r.getparent().remove(run._r)
