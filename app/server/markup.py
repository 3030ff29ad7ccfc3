"""HTML in, HTML out: the text is translated, the markup stays, and inline markup moves with its words."""

import asyncio
import re
from collections.abc import Collection, Iterator

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PreformattedString, Tag

from app.server.batching import Batcher
from app.server.errors import RequestError, TooLargeError
from app.server.marked_text import Part, translate_parts
from app.server.versions import Direction

# fmt: off
INLINE = frozenset((
    "a", "abbr", "b", "bdi", "bdo", "big", "cite", "del", "dfn", "em", "font", "i", "ins", "label", "mark", "q", "s",
    "small", "span", "strike", "strong", "sub", "sup", "time", "u",
))
NOT_TEXT = frozenset((
    "script", "style", "code", "pre", "kbd", "samp", "var", "textarea", "template", "noscript", "svg", "math",
))
# fmt: on

MOST_TAGS = 2_000

Run = list[NavigableString]  # text that is read as one, in parts with different inline markup


async def translate_html(batcher: Batcher, direction: Direction, html: str) -> str:
    """Translates the text of an HTML document or of a part of one.

    What is in `code`, `pre`, `script` and their like stays, and so does what says `translate="no"`.

    Raises:
        RequestError: It is nested too deeply.
        TooLargeError: It has too many tags.
    """
    if html.count("<") > MOST_TAGS:
        raise TooLargeError(f"more than {MOST_TAGS} tags")
    soup, runs, inline = await asyncio.to_thread(parsed, html)
    texts = [[re.sub(r"\s+", " ", string) for string in run] for run in runs]
    for run, parts in zip(runs, await translate_parts(batcher, direction, texts), strict=True):
        replace_run([(string, inline_path(string, inline)) for string in run], parts)
    return str(soup)


def parsed(html: str) -> tuple[BeautifulSoup, list[Run], set[int]]:
    """The document, its runs that have text, and its inline elements.

    Raises:
        RequestError: It is nested too deeply.
    """
    try:
        soup = BeautifulSoup(html, "html.parser")
        inline = inline_elements(soup)
        return soup, [run for run in runs_of(soup, inline) if any(string.strip() for string in run)], inline
    except RecursionError as error:
        raise RequestError("the markup is nested too deeply") from error


def runs_of(element: Tag, inline: Collection[int]) -> Iterator[Run]:
    """The runs in an element; whatever is neither text nor inline markup ends one."""
    run: Run = []
    for node in walk(element, inline):
        if node is not None:
            run.append(node)
        elif run:
            yield run
            run = []
    if run:
        yield run


def walk(element: Tag, inline: Collection[int]) -> Iterator[NavigableString | None]:
    """The strings of an element in order, and None where a run ends."""
    for child in element.children:
        if isinstance(child, Tag):
            ends_run = id(child) not in inline
            if ends_run:
                yield None
            if is_text(child):
                yield from walk(child, inline)
            if ends_run:
                yield None
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            yield child


def inline_elements(soup: BeautifulSoup) -> set[int]:
    """The ids of the elements that may move with their words: they hold text and such elements, and nothing else."""
    found: set[int] = set()
    for tag in reversed(soup.find_all(True)):  # what is inside comes before what it is in
        inner = [child for child in tag.children if isinstance(child, Tag)]
        has_text = bool(inner) or any(str(child).strip() for child in tag.children)
        if tag.name in INLINE and is_text(tag) and has_text and all(id(child) in found for child in inner):
            found.add(id(tag))
    return found


def is_text(element: Tag) -> bool:
    """Whether what is in it is to be translated."""
    return element.name not in NOT_TEXT and element.get("translate") != "no"


def replace_run(run: list[tuple[NavigableString, list[Tag]]], parts: list[Part]) -> None:
    """Puts the translation in the place of a run, each part in copies of the inline elements that were around it.

    Args:
        run: Its strings, each with the inline elements around it, the outermost first.
        parts: Of the translation.
    """
    paths = [path for _, path in run]
    outermost = [path[0] if path else string for string, path in run]
    anchor = NavigableString("")
    outermost[0].insert_before(anchor)
    for node in outermost:
        node.extract()
    opened: list[tuple[Tag, Tag]] = []  # the original, and the copy that stands for it
    for i, (number, text) in enumerate(parts):
        path = paths[number]
        close_others(opened, path)
        for element in path[len(opened) :]:
            made = element.copy_self()
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


def inline_path(string: NavigableString, inline: Collection[int]) -> list[Tag]:
    """The inline elements around a string, the outermost first."""
    path: list[Tag] = []
    for parent in string.parents:
        if id(parent) not in inline:
            break
        path.insert(0, parent)
    return path
