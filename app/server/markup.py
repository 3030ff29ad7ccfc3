"""HTML in, HTML out: the text is translated, the markup stays, and inline markup moves with its words."""

import copy
import re
from collections.abc import Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from app.server.batching import Batcher
from app.server.errors import RequestError
from app.server.marked_text import Part, translate_parts
from app.server.versions import Version

# fmt: off
INLINE = frozenset((
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "del", "dfn", "em", "font", "i", "ins", "label", "mark", "q", "s",
    "small", "span", "strike", "strong", "sub", "sup", "time", "u",
))
NOT_TEXT = frozenset((
    "script", "style", "code", "pre", "kbd", "samp", "var", "textarea", "template", "noscript", "svg", "math",
))
# fmt: on

Run = list[NavigableString]  # text that is read as one, in parts with different inline markup


async def translate_html(batcher: Batcher, version: Version, html: str) -> str:
    """Translates the text of an HTML document or of a part of one.

    What is in `code`, `pre`, `script` and their like stays, and so does what says `translate="no"`.

    Raises:
        RequestError: It is nested too deeply.
    """
    try:
        soup = BeautifulSoup(html, "html.parser")
        runs = [run for run in runs_of(soup) if any(string.strip() for string in run)]
    except RecursionError as error:
        raise RequestError("the markup is nested too deeply") from error
    texts = [[re.sub(r"\s+", " ", string) for string in run] for run in runs]
    for run, parts in zip(runs, await translate_parts(batcher, version, texts), strict=True):
        replace_run(run, parts)
    return str(soup)


def runs_of(element: Tag) -> Iterator[Run]:
    """The runs in an element; whatever is neither text nor inline markup ends one."""
    run: Run = []
    for node in walk(element):
        if node is not None:
            run.append(node)
        elif run:
            yield run
            run = []
    if run:
        yield run


def walk(element: Tag) -> Iterator[NavigableString | None]:
    """The strings of an element in order, and None where a run ends."""
    for child in element.children:
        if isinstance(child, Tag):
            is_inline = child.name in INLINE and is_text(child)
            if not is_inline:
                yield None
            if is_text(child):
                yield from walk(child)
            if not is_inline:
                yield None
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            yield child


def is_text(element: Tag) -> bool:
    """Whether what is in it is to be translated."""
    return element.name not in NOT_TEXT and element.get("translate") != "no"


def replace_run(run: Run, parts: list[Part]) -> None:
    """Puts the translation in the place of a run, each part in copies of the inline elements that were around it."""
    paths = [inline_path(string) for string in run]
    outermost = [path[0] if path else string for path, string in zip(paths, run, strict=True)]
    anchor = NavigableString("")
    outermost[0].insert_before(anchor)
    for node in outermost:
        node.extract()
    opened: list[tuple[Tag, Tag]] = []  # the original, and the copy that stands for it
    for i, (number, text) in enumerate(parts):
        path = paths[number]
        close_others(opened, path)
        for element in path[len(opened) :]:
            made = copy.copy(element)
            made.clear()
            append(opened, made, anchor)
            opened.append((element, made))
        words = text.rstrip() if i + 1 < len(parts) else text
        append(opened, NavigableString(words), anchor)
        if words != text:  # the space behind them is outside of what ends with them
            close_others(opened, paths[parts[i + 1].number])
            append(opened, NavigableString(text[len(words) :]), anchor)
    anchor.extract()


def close_others(opened: list[tuple[Tag, Tag]], path: list[Tag]) -> None:
    """Leaves of the open elements those that are on the path, from the outermost on."""
    shared = 0
    while shared < min(len(path), len(opened)) and opened[shared][0] is path[shared]:
        shared += 1
    del opened[shared:]


def append(opened: list[tuple[Tag, Tag]], node: Tag | NavigableString, anchor: NavigableString) -> None:
    """Adds a node in the innermost open element, or where the run was."""
    if opened:
        opened[-1][1].append(node)
    else:
        anchor.insert_before(node)


def inline_path(string: NavigableString) -> list[Tag]:
    """The inline elements around a string, the outermost first."""
    path: list[Tag] = []
    for parent in string.parents:
        if parent.name not in INLINE:
            break
        path.insert(0, parent)
    return path
