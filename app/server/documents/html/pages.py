"""Functions that read and write HTML pages. The server runs these functions in separate processes."""

from collections.abc import Sequence

from keras_nmt.app.server.documents.html.reading import Page
from keras_nmt.app.server.documents.html.writing import replace_unit
from keras_nmt.app.server.documents.spans import Span


def read_html(html: str, attributes: bool) -> list[list[str]]:
    """Returns the texts of a page, each as a list of spans: first the attributes, then the text units.

    Args:
        html: An HTML document or a fragment.
        attributes: True to also read the values of the attributes in `ATTRIBUTES`.

    Raises:
        RequestError: The page is nested too deeply.
        TooLargeError: The page has too many tags.
    """
    page = Page(html, attributes)
    return [
        *([str(tag[name])] for tag, name in page.attributes),
        *([leaf.text for leaf in unit] for unit in page.units),
    ]


def write_html(html: str, attributes: bool, translations: Sequence[Sequence[Span]]) -> str:
    """Returns the page with translations in place of the texts that `read_html` returned.

    Args:
        html: The HTML that `read_html` read.
        attributes: The value that was passed to `read_html`.
        translations: Spans of each translation, in the order of the texts.
    """
    page = Page(html, attributes)
    remaining = iter(translations)
    for tag, name in page.attributes:
        tag[name] = "".join(span.text for span in next(remaining))
    for unit in page.units:
        replace_unit(unit, next(remaining))
    return str(page.soup)


def read_pages(pages: Sequence[str], attributes: bool) -> list[list[list[str]]]:
    """Calls `read_html` for each page."""
    return [read_html(page, attributes) for page in pages]


def write_pages(pages: Sequence[str], attributes: bool, translations: Sequence[Sequence[Sequence[Span]]]) -> list[str]:
    """Calls `write_html` for each page."""
    return [write_html(page, attributes, of_page) for page, of_page in zip(pages, translations, strict=True)]
