"""Files in, files of the same kind out: plain text, HTML, and Word documents.

They are read and written in processes of their own, which end when nobody waits for them any more.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import PurePath

from app.server.documents.marked_text import translate_parts
from app.server.documents.markup import read_pages, write_pages
from app.server.documents.word_files import read_word, write_word
from app.server.engine.service import Service
from app.server.engine.translation import translate
from app.server.engine.versions import Direction
from app.server.errors import RequestError

FORMATS = (".txt", ".html", ".htm", ".docx")


async def translate_document(
    service: Service, direction: Direction, name: str, content: bytes, *, attributes: bool = False
) -> bytes:
    """Translates a file, whose kind its name tells.

    Args:
        service: What answers.
        direction: Of a model that translates.
        name: Of the file.
        content: Of the file.
        attributes: Whether what is said of pictures and the like is translated too.

    Raises:
        RequestError: It is of no kind in `FORMATS`, or damaged.
        TooLargeError: It has more characters than the limits allow, or more of something else than can be.
    """
    kind = PurePath(name).suffix.lower()
    if kind not in FORMATS:
        raise RequestError(f"cannot translate {kind or 'a file without an ending'}; known: {', '.join(FORMATS)}")
    if kind == ".docx":
        return await translate_word(service, direction, content, attributes=attributes)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RequestError("the file is not in UTF-8") from error
    service.limits.check([text])
    if kind == ".txt":
        (found,) = await translate(service.batcher, direction, [text])
        return found.text.encode("utf-8")
    (page,) = await translate_html(service, direction, [text], attributes=attributes)
    return page.encode("utf-8")


async def translate_html(
    service: Service, direction: Direction, pages: Sequence[str], *, attributes: bool = False
) -> list[str]:
    """Translates the text of HTML documents or of parts of such; the markup stays and goes with its words.

    Raises:
        RequestError: One is nested too deeply.
        TooLargeError: One has too many tags.
    """
    of_pages = await service.pages.run(read_pages, pages, attributes)
    found = iter(await translate_parts(service.batcher, direction, [text for texts in of_pages for text in texts]))
    return await service.pages.run(
        write_pages, pages, attributes, [list(islice(found, len(texts))) for texts in of_pages]
    )


async def translate_word(service: Service, direction: Direction, content: bytes, *, attributes: bool) -> bytes:
    """Translates a Word document; what is bold stays with its words, and so do links, footnotes and pictures."""
    texts = await service.files.run(read_word, content, attributes)
    service.limits.check(["".join(part for text in texts for part in text)])
    return await service.files.run(
        write_word, content, attributes, await translate_parts(service.batcher, direction, texts)
    )
