"""Files in, files of the same kind out: plain text, HTML, and Word documents."""

import copy
import io
import zipfile
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any

from docx import Document
from docx.opc.exceptions import PackageNotFoundError
from docx.text.paragraph import Paragraph

from app.server.batching import Batcher
from app.server.errors import RequestError, TooLargeError
from app.server.limits import Limits
from app.server.marked_text import Part, translate_parts
from app.server.markup import translate_html
from app.server.translation import translate
from app.server.versions import Version

FORMATS = (".txt", ".html", ".htm", ".docx")
MOST_UNPACKED = 64 * 1024 * 1024  # bytes of a Word document's parts; a small archive may hold very much more


async def translate_document(batcher: Batcher, version: Version, name: str, content: bytes, limits: Limits) -> bytes:
    """Translates a file, whose kind its name tells.

    Raises:
        RequestError: It is of no kind in `FORMATS`, or damaged.
        TooLargeError: It has more characters than the limits allow, or unpacks to more than `MOST_UNPACKED`.
    """
    kind = PurePath(name).suffix.lower()
    if kind not in FORMATS:
        raise RequestError(f"cannot translate {kind or 'a file without an ending'}; known: {', '.join(FORMATS)}")
    if kind == ".docx":
        return await translate_word(batcher, version, content, limits)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError("the file is not in UTF-8") from error
    limits.check([text])
    if kind == ".txt":
        (found,) = await translate(batcher, version, [text])
        return found.text.encode("utf-8")
    return (await translate_html(batcher, version, text)).encode("utf-8")


async def translate_word(batcher: Batcher, version: Version, content: bytes, limits: Limits) -> bytes:
    """Translates a Word document; what is bold stays with its words."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if sum(part.file_size for part in archive.infolist()) > MOST_UNPACKED:
                raise TooLargeError("the document unpacks to too much")
        document = Document(io.BytesIO(content))
    except (zipfile.BadZipFile, PackageNotFoundError, KeyError, ValueError) as error:
        raise RequestError("the file is no Word document, or it is damaged") from error
    paragraphs = [paragraph for paragraph in paragraphs_of(document) if paragraph.text.strip() and paragraph.runs]
    texts = [[run.text for run in paragraph.runs] for paragraph in paragraphs]
    limits.check(["".join(text for runs in texts for text in runs)])
    for paragraph, parts in zip(paragraphs, await translate_parts(batcher, version, texts), strict=True):
        replace_runs(paragraph, parts)
    written = io.BytesIO()
    document.save(written)
    return written.getvalue()


def paragraphs_of(document: Any) -> Iterator[Paragraph]:
    """Those of the text, of tables, and of headers and footers."""
    places = [document, *(place for section in document.sections for place in (section.header, section.footer))]
    for place in places:
        for element in place._element.iter("{http://schemas.openxmlformats.org/wordprocessingml/2006/main}p"):
            yield Paragraph(element, place)


def replace_runs(paragraph: Paragraph, parts: list[Part]) -> None:
    """Puts the translation in the place of a paragraph's runs, each part in a copy of the run it looks like."""
    runs = paragraph.runs
    place = runs[0]._r
    for number, text in parts:
        made = copy.deepcopy(runs[number]._r)
        place.addprevious(made)
        type(runs[number])(made, paragraph).text = text
    for run in runs:
        run._r.getparent().remove(run._r)
