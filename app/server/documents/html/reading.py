"""Reads an HTML page: finds the text to translate and divides it into text units.

A leaf is a text, or an element that moves as a whole. A text unit is a sequence of leaves that are translated as one
text. A text unit may contain inline elements and ends at block elements.
"""

import re
from collections.abc import Iterator, Sequence
from enum import Enum, auto
from itertools import pairwise
from typing import NamedTuple

from bs4 import BeautifulSoup
from bs4.element import NavigableString, PageElement, PreformattedString, Tag

from keras_nmt.app.server.documents.placeholders import trimmed
from keras_nmt.app.server.documents.spans import Protected
from keras_nmt.app.server.documents.tokens import has_letters
from keras_nmt.app.server.errors import RequestError, TooLargeError

# fmt: off
INLINE = frozenset((
    "a", "abbr", "acronym", "b", "bdi", "bdo", "big", "blink", "cite", "data", "del", "dfn", "em", "font", "i", "ins",
    "label", "mark", "nobr", "output", "q", "s", "slot", "small", "span", "strike", "strong", "sub", "sup", "time",
    "tt", "u",
))
CODE = frozenset(("code", "kbd", "samp", "var"))  # the model reads them in the sentence; copied unchanged
PLACEHOLDERS = frozenset(("embed", "img", "math", "noscript", "picture", "script", "style", "svg", "template", "wbr"))
NOT_TEXT = CODE | frozenset(("pre", "rt", "rp"))  # unless translate="yes" is set
NEVER_TEXT = frozenset(("math", "noscript", "script", "style", "svg", "template", "textarea"))
# fmt: on
ATTRIBUTES = ("alt", "aria-description", "aria-label", "placeholder", "title")
MAX_TAGS = 2_000
MAX_DEPTH = 1_000
MAX_INLINE_DEPTH = 20  # nested inline elements; limited because each word may need copies of all of them
MAX_PROTECTED_CHARACTERS = 100  # length of an untranslated text that stays inside its sentence
SPACE = re.compile(r"[ \t\n\r\f]+")
SOFT_HYPHEN = "\N{SOFT HYPHEN}"


class Kind(Enum):
    """The role of an element in the sentence that contains it.

    Attributes:
        BLOCK: An element that ends the sentence.
        INLINE: An element whose words are translated with the sentence. The element moves with these words.
        PROTECTED: An element whose words belong to the sentence and are copied unchanged.
        PLACEHOLDER: An element without words.
    """

    BLOCK = auto()
    INLINE = auto()
    PROTECTED = auto()
    PLACEHOLDER = auto()


class HtmlLeaf(NamedTuple):
    """A text, or an element that moves as a whole.

    Attributes:
        node: Node of the page.
        text: Text as the model reads it; "" for a placeholder.
        path: Inline elements that enclose the node, the outermost first.
        space: Space that follows a placeholder and moves with the placeholder; "" for none.
    """

    node: PageElement
    text: str
    path: tuple[Tag, ...]
    space: str = ""


class ElementByIdentity(Tag):
    """An element that == compares by identity. Beautiful Soup's own == compares the whole content recursively."""

    __eq__ = object.__eq__
    __ne__ = object.__ne__
    __hash__ = object.__hash__


class Page:
    """A parsed HTML page.

    Attributes:
        soup: The whole page.
        units: Text units that contain letters to translate.
        attributes: Attributes to translate: pairs of an element and the name of the attribute.

    Args:
        html: An HTML document or a fragment.
        attributes: True to also find the attributes in `ATTRIBUTES`.

    Raises:
        RequestError: The page is nested too deeply.
        TooLargeError: The page has too many tags.
    """

    def __init__(self, html: str, attributes: bool) -> None:
        if html.count("<") > MAX_TAGS:
            raise TooLargeError(f"the page has more than {MAX_TAGS} tags")
        self.soup = BeautifulSoup(html, "html.parser", element_classes={Tag: ElementByIdentity})
        tags = self.soup.find_all(True)
        self._is_text: dict[int, bool | None] = {id(self.soup): True}  # see `is_text`
        for tag in tags:
            self._is_text[id(tag)] = is_text(tag, self._is_text[id(tag.parent)])
        self._kinds: dict[int, Kind] = {}
        self._inline_depths: dict[int, int] = {}  # by inline element: number of nested levels
        self._has_text: set[int] = set()  # elements that contain text to translate
        for tag in reversed(tags):  # children before their parents
            self._classify(tag)
        self.units = [with_own_spaces(trimmed(unit)) for unit in self._units() if is_translatable(unit)]
        self.attributes = [
            (tag, name) for tag in tags for name in ATTRIBUTES if attributes and self._has_attribute(tag, name)
        ]

    def _has_attribute(self, tag: Tag, name: str) -> bool:
        value = tag.get(name)
        return bool(self._is_text[id(tag)]) and isinstance(value, str) and has_letters(value)

    def _classify(self, tag: Tag) -> None:
        inner = [child for child in tag.children if isinstance(child, Tag)]
        if self._is_text[id(tag)] or any(id(child) in self._has_text for child in inner):
            self._has_text.add(id(tag))
        self._kinds[id(tag)] = self._kind(tag, inner)

    def _kind(self, tag: Tag, inner: Sequence[Tag]) -> Kind:
        if tag.name in PLACEHOLDERS:
            return Kind.PLACEHOLDER
        if tag.name not in INLINE | CODE and "-" not in tag.name:
            return Kind.BLOCK
        if not self._is_text[id(tag)]:
            return self._kind_of_untranslated(tag)
        kinds = {self._kinds[id(child)] for child in inner}
        depth = 1 + max((self._inline_depths.get(id(child), 0) for child in inner), default=0)
        self._inline_depths[id(tag)] = depth
        if Kind.BLOCK in kinds or depth > MAX_INLINE_DEPTH:
            return Kind.BLOCK
        has_words = not kinds <= {Kind.PLACEHOLDER} or any(is_words(child) and child for child in tag.children)
        return Kind.INLINE if has_words else Kind.PLACEHOLDER

    def _kind_of_untranslated(self, tag: Tag) -> Kind:
        if id(tag) in self._has_text:
            return Kind.BLOCK
        length = len(tag.get_text())
        if not length:
            return Kind.PLACEHOLDER
        return Kind.PROTECTED if length <= MAX_PROTECTED_CHARACTERS else Kind.BLOCK

    def _units(self) -> Iterator[list[HtmlLeaf]]:
        unit: list[HtmlLeaf] = []
        for leaf in self._leaves():
            if leaf:
                unit.append(leaf)
            elif unit:
                yield unit
                unit = []
        yield unit

    def _leaves(self) -> Iterator[HtmlLeaf | None]:
        """Yields the leaves of the page in order, and None at the end of a text unit."""
        path: tuple[Tag, ...] = ()
        entered = [(iter(self.soup.contents), path, False)]
        while entered:
            children, path, is_block = entered[-1]
            child = next(children, None)
            if child is None:
                entered.pop()
                if is_block:
                    yield None
            elif not isinstance(child, Tag):
                is_read = bool(self._is_text[id(child.parent)])
                yield HtmlLeaf(child, visible_text(child) if is_words(child) else "", path) if is_read else None
            elif (kind := self._kinds[id(child)]) in (Kind.PLACEHOLDER, Kind.PROTECTED):
                yield HtmlLeaf(child, Protected(visible_text(child)) if kind is Kind.PROTECTED else "", path)
            else:
                is_block = kind is Kind.BLOCK
                if is_block:
                    yield None
                if id(child) in self._has_text:
                    entered.append((iter(child.contents), () if is_block else (*path, child), is_block))
                if len(entered) > MAX_DEPTH:
                    raise RequestError("the markup is nested too deeply")


def is_text(tag: Tag, outer: bool | None) -> bool | None:
    """Determines from an element's name and attributes if the element's content is translated.

    Args:
        tag: The element.
        outer: Result of this function for the element's parent.

    Returns:
        True if the content is translated, or False if the content is not translated. In both cases, inner elements may
        have a different result. None if neither the content nor any inner element is ever translated.
    """
    if outer is None or tag.name in NEVER_TEXT:
        return None
    value = tag.get("translate")
    translate = value.strip().lower() if isinstance(value, str) else "inherit"
    if translate in ("yes", ""):
        return True
    if translate == "no" or tag.name in NOT_TEXT or "notranslate" in (tag.get("class") or ()):
        return False
    return outer


def is_words(node: PageElement) -> bool:
    """Returns True for text, and False for other nodes, such as elements and comments."""
    return isinstance(node, NavigableString) and not isinstance(node, PreformattedString)


def visible_text(node: PageElement) -> str:
    """Returns the text of a node as a reader sees it: with collapsed white space and without soft hyphens."""
    return SPACE.sub(" ", node.get_text()).replace(SOFT_HYPHEN, "")


def with_own_spaces(unit: Sequence[HtmlLeaf]) -> list[HtmlLeaf]:
    """Moves the space after a placeholder into the placeholder's leaf, if the placeholder begins an inline element.

    An example is the space after an icon at the beginning of a link.
    """
    found = list(unit)
    for i, (leaf, after) in enumerate(pairwise(unit)):
        begins = bool(leaf.path) and leaf.node is leaf.path[-1].contents[0]
        if begins and not leaf.text and leaf.path == after.path and after.text[1:] and after.text[0] == " ":
            found[i : i + 2] = [leaf._replace(space=" "), after._replace(text=after.text[1:])]
    return found


def is_translatable(unit: Sequence[HtmlLeaf]) -> bool:
    """Returns True if a text unit has a letter outside of protected leaves."""
    return any(has_letters(leaf.text) for leaf in unit if not isinstance(leaf.text, Protected))
