"""HTML in, HTML out: which text of a page is translated, and how the translation is put in its place.

The markup stays, and inline markup moves with its words. Nothing here translates, and nothing needs TensorFlow, so that
it can run in processes of its own.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum
from itertools import pairwise
from typing import NamedTuple

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from app.server.documents.parts import Kept, Part
from app.server.documents.rebuilding import rebuild, shared
from app.server.documents.tokens import has_letters
from app.server.errors import RequestError, TooLargeError

# fmt: off
INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "blink", "cite", "data", "del", "dfn", "em", "font", "i", "ins",
    "label", "mark", "nobr", "output", "q", "s", "slot", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u",
))
CODE = frozenset(("code", "kbd", "samp", "var"))  # read with the sentence, and kept
PLACES = frozenset(("embed", "img", "math", "noscript", "picture", "script", "style", "svg", "template", "wbr"))
NOT_TEXT = CODE | frozenset(("pre", "rt", "rp"))  # unless they say translate="yes"
NEVER_TEXT = frozenset(("math", "noscript", "script", "style", "svg", "template", "textarea"))
# fmt: on
ATTRIBUTES = ("alt", "aria-description", "aria-label", "placeholder", "title")
MOST_TAGS = 2_000
MOST_DEPTH = 1_000
MOST_LEVELS = 20  # of inline elements, all of which each word may take with it
MOST_KEPT = 100  # characters of what is kept within a sentence
SPACE = re.compile(r"[ \t\n\r\f]+")
SOFT_HYPHEN = "\N{SOFT HYPHEN}"


class Kind(Enum):
    """What an element is to the sentence around it."""

    BORDER = "a sentence ends at it"
    INLINE = "its words are translated with the others, and it goes with them"
    KEPT = "its words belong to the sentence and stay as they are"
    PLACE = "it has no words"


class Leaf(NamedTuple):
    """What a sentence is made of.

    Attributes:
        node: The text, or an element that is moved as a whole.
        text: As the model reads it; nothing for an element that has no words.
        path: The inline elements around it, the outermost first.
        space: What is written behind an element that is moved as a whole.
    """

    node: PageElement
    text: str
    path: tuple[Tag, ...]
    space: str = ""


def read_html(html: str, attributes: bool) -> list[list[str]]:
    """The texts of a page, each in parts.

    Args:
        html: A document, or a part of one.
        attributes: Whether `ATTRIBUTES` are among them.

    Raises:
        RequestError: It is nested too deeply.
        TooLargeError: It has too many tags.
    """
    page = Page(html, attributes)
    return [*([tag[name]] for tag, name in page.attributes), *([leaf.text for leaf in run] for run in page.runs)]  # type: ignore[list-item]


def write_html(html: str, attributes: bool, translations: Sequence[Sequence[Part]]) -> str:
    """The page with the translations of the texts that `read_html` gave."""
    page = Page(html, attributes)
    remaining = iter(translations)
    for tag, name in page.attributes:
        tag[name] = "".join(part.text for part in next(remaining))
    for run in page.runs:
        replace_run(run, next(remaining))
    return str(page.soup)


def read_pages(pages: Sequence[str], attributes: bool) -> list[list[list[str]]]:
    """What `read_html` gives for each of several pages."""
    return [read_html(page, attributes) for page in pages]


def write_pages(pages: Sequence[str], attributes: bool, translations: Sequence[Sequence[Sequence[Part]]]) -> list[str]:
    """What `write_html` gives for each of several pages."""
    return [write_html(page, attributes, of_page) for page, of_page in zip(pages, translations, strict=True)]


class Element(Tag):
    """An element that is equal to itself alone; Beautiful Soup compares all that is in two of them, recursively."""

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


class Page:
    """A parsed page.

    Attributes:
        soup: All of it.
        runs: What is read as one text, where there is something to translate.
        attributes: Elements and the names of their attributes that are to be translated.

    Raises:
        RequestError: It is nested too deeply.
        TooLargeError: It has too many tags.
    """

    def __init__(self, html: str, attributes: bool) -> None:
        if html.count("<") > MOST_TAGS:
            raise TooLargeError(f"more than {MOST_TAGS} tags")
        self.soup = BeautifulSoup(html, "html.parser", element_classes={Tag: Element})
        tags = self.soup.find_all(True)
        self._is_text: dict[int, bool | None] = {id(self.soup): True}  # None: never, whatever is said within
        for tag in tags:
            self._is_text[id(tag)] = is_text(tag, self._is_text[id(tag.parent)])
        self._kinds: dict[int, Kind] = {}
        self._levels: dict[int, int] = {}  # of inline elements, within one another
        self._has_text: set[int] = set()  # elements that have to be looked into
        for tag in reversed(tags):  # what is inside comes before what it is in
            self._look_at(tag)
        self.runs = [with_spaces(trimmed(run)) for run in self._runs() if is_for_translation(run)]
        self.attributes = [(tag, name) for tag in tags for name in ATTRIBUTES if attributes and self._has(tag, name)]

    def _has(self, tag: Tag, name: str) -> bool:
        value = tag.get(name)
        return bool(self._is_text[id(tag)]) and isinstance(value, str) and has_letters(value)

    def _look_at(self, tag: Tag) -> None:
        inner = [child for child in tag.children if isinstance(child, Tag)]
        if self._is_text[id(tag)] or any(id(child) in self._has_text for child in inner):
            self._has_text.add(id(tag))
        self._kinds[id(tag)] = self._kind(tag, inner)

    def _kind(self, tag: Tag, inner: Sequence[Tag]) -> Kind:
        if tag.name in PLACES:
            return Kind.PLACE
        if tag.name not in INLINE | CODE and "-" not in tag.name:
            return Kind.BORDER
        if not self._is_text[id(tag)]:
            length = len(tag.get_text()) if id(tag) not in self._has_text else MOST_KEPT + 1
            return Kind.PLACE if not length else Kind.KEPT if length <= MOST_KEPT else Kind.BORDER
        kinds = {self._kinds[id(child)] for child in inner}
        levels = self._levels[id(tag)] = 1 + max((self._levels.get(id(child), 0) for child in inner), default=0)
        if Kind.BORDER in kinds or levels > MOST_LEVELS:
            return Kind.BORDER
        has_words = not kinds <= {Kind.PLACE} or any(is_words(child) and child for child in tag.children)
        return Kind.INLINE if has_words else Kind.PLACE

    def _runs(self) -> Iterator[list[Leaf]]:
        run: list[Leaf] = []
        for leaf in self._leaves():
            if leaf:
                run.append(leaf)
            elif run:
                yield run
                run = []
        yield run

    def _leaves(self) -> Iterator[Leaf | None]:
        """What sentences are made of, in order, and None where one ends."""
        path: tuple[Tag, ...] = ()
        entered = [(iter(self.soup.contents), path, False)]
        while entered:
            children, path, is_border = entered[-1]
            child = next(children, None)
            if child is None:
                entered.pop()
                if is_border:
                    yield None
            elif not isinstance(child, Tag):
                is_read = bool(self._is_text[id(child.parent)])
                yield Leaf(child, clean(child) if is_words(child) else "", path) if is_read else None
            elif (kind := self._kinds[id(child)]) in (Kind.PLACE, Kind.KEPT):
                yield Leaf(child, Kept(clean(child)) if kind is Kind.KEPT else "", path)
            else:
                is_border = kind is Kind.BORDER
                if is_border:
                    yield None
                if id(child) in self._has_text:
                    entered.append((iter(child.contents), () if is_border else (*path, child), is_border))
                if len(entered) > MOST_DEPTH:
                    raise RequestError("the markup is nested too deeply")


def is_text(tag: Tag, outer: bool | None) -> bool | None:
    """Whether what is in an element is to be translated, by its name and what it says; None if none of it ever is."""
    if outer is None or tag.name in NEVER_TEXT:
        return None
    said = tag.get("translate")
    word = said.strip().lower() if isinstance(said, str) else "inherit"
    if word in ("yes", ""):
        return True
    if word == "no" or tag.name in NOT_TEXT or "notranslate" in (tag.get("class") or ()):
        return False
    return outer


def is_words(node: PageElement) -> bool:
    """Whether it is text, and no comment or the like."""
    return isinstance(node, NavigableString) and not isinstance(node, PreformattedString)


def clean(node: PageElement) -> str:
    """Its text as it is read: spaces as one, without places where a word may be broken."""
    return SPACE.sub(" ", node.get_text()).replace(SOFT_HYPHEN, "")


def trimmed(run: Sequence[Leaf]) -> Sequence[Leaf]:
    """A run without the pictures and comments before and behind its text, which stay where they are."""
    words = [i for i, leaf in enumerate(run) if leaf.text or leaf.path]
    return run[words[0] : words[-1] + 1] if words else ()


def with_spaces(run: Sequence[Leaf]) -> list[Leaf]:
    """A run where what an element begins with, such as an icon, has the space behind it for its own."""
    found = list(run)
    for i, (leaf, behind) in enumerate(pairwise(run)):
        begins = bool(leaf.path) and leaf.node is leaf.path[-1].contents[0]
        if begins and not leaf.text and leaf.path == behind.path and behind.text[1:] and behind.text[0] == " ":
            found[i : i + 2] = [leaf._replace(space=" "), behind._replace(text=behind.text[1:])]
    return found


def is_for_translation(run: Sequence[Leaf]) -> bool:
    """Whether there is a letter in it that is not to be kept."""
    return any(has_letters(leaf.text) for leaf in run if not isinstance(leaf.text, Kept))


def replace_run(run: Sequence[Leaf], parts: Sequence[Part]) -> None:
    """Puts the translation in the place of a run, each part in copies of the inline elements that were around it."""
    outermost = [leaf.path[0] if leaf.path else leaf.node for leaf in run]
    anchor = NavigableString("")
    outermost[0].insert_before(anchor)
    for node in outermost:
        node.extract()
    with_copy: set[int] = set()

    def shell(element: Tag) -> Tag:
        made = element.copy_self()
        made.attrs = {
            name: value for name, value in element.attrs.items() if name != "id" or id(element) not in with_copy
        }
        with_copy.add(id(element))
        return made

    def append(parent: Tag | None, content: PageElement) -> None:
        if parent is None:
            anchor.insert_before(content)
        else:
            parent.append(content)

    rebuild(items_of(run, parts), shell, append)
    anchor.extract()


def items_of(run: Sequence[Leaf], parts: Sequence[Part]) -> Iterator[tuple[Sequence[Tag], PageElement]]:
    """What is to be written, with its elements; the space behind what an element ends with is outside of it."""
    before: tuple[Tag, ...] = ()
    for i, (number, text) in enumerate(parts):
        leaf = run[number]
        if not leaf.text or isinstance(leaf.text, Kept):
            yield leaf.path, leaf.node
            if leaf.space:
                yield leaf.path, NavigableString(leaf.space)
            before = leaf.path
            continue
        behind = run[parts[i + 1].number].path if i + 1 < len(parts) else leaf.path
        words = text.rstrip()
        if words:
            yield leaf.path, NavigableString(words)
        else:
            behind = before
        if words != text:
            yield leaf.path[: shared(leaf.path, behind)], NavigableString(text[len(words) :])
        before = leaf.path
