"""Translates files: plain text, HTML and Word documents. The result has the same format as the source.

HTML and Word files are read and written in separate processes, which are killed if the request is cancelled.
"""

from collections.abc import Sequence
from itertools import islice
from pathlib import PurePath

from keras_nmt.app.server.documents.html.pages import read_pages, write_pages
from keras_nmt.app.server.documents.span_translation import translate_spans
from keras_nmt.app.server.documents.word.files import read_word, write_word
from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.engine.translation import translate
from keras_nmt.app.server.engine.versions import Direction
from keras_nmt.app.server.errors import RequestError

FORMATS = (".txt", ".html", ".htm", ".docx")


async def translate_document(
    service: Service, direction: Direction, name: str, content: bytes, *, attributes: bool = False
) -> bytes:
    """Translates a file.

    Args:
        service: Service that runs the model and the processes.
        direction: Model version and language pair.
        name: File name. Its suffix determines the format.
        content: Bytes of the file.
        attributes: True to also translate descriptions of pictures and similar texts.

    Raises:
        RequestError: The format is unknown, or the file is damaged.
        TooLargeError: The file exceeds a limit, such as the limit on characters.
    """
    kind = PurePath(name).suffix.lower()
    if kind not in FORMATS:
        raise RequestError(f"cannot translate {kind or 'a file without a suffix'}; known: {', '.join(FORMATS)}")
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
    """Translates HTML documents or fragments. Inline elements move with their words. Other elements keep their place.

    Raises:
        RequestError: A page is nested too deeply.
        TooLargeError: A page has too many tags.
    """
    by_page = await service.pages.run(read_pages, pages, attributes)
    found = iter(await translate_spans(service.batcher, direction, [text for texts in by_page for text in texts]))
    translations = [list(islice(found, len(texts))) for texts in by_page]
    return await service.pages.run(write_pages, pages, attributes, translations)


async def translate_word(service: Service, direction: Direction, content: bytes, *, attributes: bool) -> bytes:
    """Translates a Word document. Bold text, links, footnotes and pictures stay with their words.

    Raises:
        RequestError: The file is not a Word document, or is damaged.
        TooLargeError: The document exceeds a limit.
    """
    texts = await service.files.run(read_word, content, attributes)
    service.limits.check(["".join(span for text in texts for span in text)])
    translations = await translate_spans(service.batcher, direction, texts)
    return await service.files.run(write_word, content, attributes, translations)
