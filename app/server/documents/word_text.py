"""The text of a paragraph of a Word document, whatever stands around and between its words.

A paragraph holds runs, which are stretches of one look, also within links, insertions, fields and other wrappers. What
nobody sees, such as the marks of the spelling checker, says nothing. Bookmarks, footnotes' marks and pictures are
places between words and go with them. Tabs and breaks stay where they are, and a text ends at them.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

from lxml import etree

from app.server.documents.parts import Kept, Part
from app.server.documents.rebuilding import rebuild
from app.server.documents.tokens import has_letters

WRAPPERS = frozenset(
    ("bdo", "customXml", "dir", "fldSimple", "hyperlink", "ins", "moveTo", "sdt", "sdtContent", "smartTag")
)
BORDERS = frozenset(("br", "cr", "delInstrText", "fldChar", "instrText", "ptab", "tab"))  # fields are looked at later
SILENT = frozenset(("lastRenderedPageBreak", "proofErr", "softHyphen"))
UNSEEN = frozenset(("lang", "noProof"))  # of the properties of a run
FIELD = "field"  # stands for a field that is made of runs, while its paragraph is worked on
MOST_FIELDS_WITHIN = 8  # one another
MOST_LEVELS = 20  # of wrappers, all of which each word may take with it
XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"
NO_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Leaf:
    """What a paragraph is made of.

    Attributes:
        elements: Runs with one thing each, or something else; several if they belong together.
        path: The wrappers around them, the outermost first.
        text: What is read; nothing where there are no words, and a `Kept` where they are not ours, as a page's number.
        look: Of runs; equal if they look the same.
        is_border: Whether a text ends here.
    """

    elements: tuple[Any, ...]
    path: tuple[Any, ...]
    text: str = ""
    look: object = ""
    is_border: bool = False

    @property
    def is_words(self) -> bool:
        """Whether it is runs of text that is translated."""
        return bool(self.text) and not isinstance(self.text, Kept)

    @property
    def outermost(self) -> tuple[Any, ...]:
        """Its elements, or the wrapper that they are in."""
        return self.path[:1] or self.elements


Stretch = list[Leaf]


def stretches_of(paragraph: Any) -> Iterator[Stretch]:
    """What is read as one text, where there is something to translate.

    The paragraph is not the same afterwards, though it looks the same: its runs hold one thing each.
    """
    leaves = with_fields(leaves_of(paragraph, ()))
    torn = {id(wrapper) for leaf in leaves for wrapper in leaf.path[: None if leaf.is_border else -MOST_LEVELS]}
    for (_, is_border), group in groupby(leaves, lambda leaf: (whole_from(leaf, torn), leaf.is_border)):
        movable = [replace(leaf, path=leaf.path[len(whole_from(leaf, torn)) :]) for leaf in group]
        stretch = trimmed(merged(movable))
        if not is_border and any(leaf.is_words and has_letters(leaf.text) for leaf in stretch):
            yield stretch


def whole_from(leaf: Leaf, torn: set[int]) -> tuple[int, ...]:
    """The wrappers that cannot go with their words, as a text ends in them."""
    last = max((i for i, wrapper in enumerate(leaf.path) if id(wrapper) in torn), default=-1)
    return tuple(map(id, leaf.path[: last + 1]))


def leaves_of(element: Any, path: tuple[Any, ...]) -> Iterator[Leaf]:
    """What is in a paragraph or wrapper, in order."""
    for child in list(element):
        name = name_of(child)
        if name in WRAPPERS:
            inner = list(leaves_of(child, (*path, child)))
            if name == "fldSimple" and not any(has_letters(leaf.text) for leaf in inner):
                yield Leaf((child,), path, kept(inner))  # such as the number of a page
            else:
                yield from inner
        elif name == "r":
            yield from leaves_of_run(child, path)
        elif name in SILENT:
            element.remove(child)
        elif isinstance(child.tag, str) and not name.endswith(("Pr", "fldData")):
            yield Leaf((child,), path)


def leaves_of_run(run: Any, path: tuple[Any, ...]) -> Iterator[Leaf]:
    """What is in a run, each thing of several in a run of its own."""
    properties = next((one for one in run if name_of(one) == "rPr"), ())
    look = tuple(map(shape, properties))
    things = [one for one in run if isinstance(one.tag, str) and one is not properties]
    for one in [one for one in things if name_of(one) in SILENT]:
        run.remove(one)
        things.remove(one)
    if not things:
        run.getparent().remove(run)
    own = run
    for i, one in enumerate(things):
        if i:
            before, own = own, shell(run)
            own.append(one)
            before.addnext(own)
        name = name_of(one)
        text = "-" if name == "noBreakHyphen" else text_of(one) if name == "t" else ""
        if text or name != "t":
            yield Leaf((own,), path, text, look if text else "", name in BORDERS)


def text_of(element: Any) -> str:
    """What Word shows for a `w:t`, which has the spaces at its ends only where that is said."""
    text = re.sub(r"[\t\n\r]", " ", element.text or "").replace("\N{SOFT HYPHEN}", "")
    said = (outer.get(XML_SPACE) for outer in (element, *element.iterancestors()))
    return text if next(filter(None, said), "") == "preserve" else text.strip(" ")


def with_fields(leaves: Iterator[Leaf]) -> list[Leaf]:
    """The same with each field that is made of runs as a wrapper of its result; one that is not whole is a border."""
    found: list[Leaf] = []
    begun: list[list[int]] = []  # where a field begins, and where its result begins
    for leaf in leaves:
        found.append(leaf)
        kind = field_character(leaf)
        if kind == "begin":
            begun.append([len(found) - 1])
        elif kind == "separate" and begun:
            begun[-1].append(len(found))
        elif kind == "end" and begun:
            begin, result = [*begun.pop(), len(found) - 1][:2]
            if len(begun) < MOST_FIELDS_WITHIN:
                found[begin:] = field_of(found[begin:result], found[result:-1], leaf)
    return found


def field_character(leaf: Leaf) -> str:
    """The type of what begins, divides or ends a field."""
    if not leaf.is_border:
        return ""
    attributes = (one.attrib.items() for one in leaf.elements[0] if name_of(one) == "fldChar")
    return next((value for of_one in attributes for name, value in of_one if name.endswith("}fldCharType")), "")


def field_of(code: Sequence[Leaf], result: Sequence[Leaf], end: Leaf) -> list[Leaf]:
    """A whole field: one place if its result has no letters, such as the number of a page, or else its result."""
    path = end.path
    is_level = all(leaf.path == path for leaf in code) and all(leaf.path[: len(path)] == path for leaf in result)
    if not is_level or any(leaf.is_border for leaf in result):
        return [*code, *result, end]
    inner = tops(result, len(path))
    if not any(has_letters(leaf.text) for leaf in result):
        return [Leaf((*tops(code, len(path)), *inner, *end.elements), path, kept(result))]
    field = etree.Element(FIELD)
    code[0].elements[0].addprevious(field)
    for around in (tops(code, len(path)), end.elements):
        etree.SubElement(field, FIELD + "Pr").extend(around)
    field.extend(inner)
    return [replace(leaf, path=(*path, field, *leaf.path[len(path) :])) for leaf in result]


def kept(leaves: Sequence[Leaf]) -> Kept:
    """What is read of a place."""
    return Kept("".join(leaf.text for leaf in leaves).strip())


def tops(leaves: Sequence[Leaf], depth: int) -> list[Any]:
    """The elements of leaves, or the wrappers below a depth that they are in."""
    found = [one for leaf in leaves for one in (leaf.path[depth : depth + 1] or leaf.elements)]
    return [one for i, one in enumerate(found) if not i or one is not found[i - 1]]


def merged(leaves: Sequence[Leaf]) -> Stretch:
    """The same with neighbouring runs that look the same as one, as Word divides them for reasons of its own."""
    found: Stretch = []
    for leaf in leaves:
        last = found[-1] if found else None
        if last and last.is_words and leaf.is_words and last.path == leaf.path and last.look == leaf.look:
            found[-1] = replace(last, elements=last.elements + leaf.elements, text=last.text + leaf.text)
        else:
            found.append(leaf)
    return found


def trimmed(leaves: Stretch) -> Stretch:
    """A stretch without the places before and behind its text, which stay where they are."""
    words = [i for i, leaf in enumerate(leaves) if leaf.text or leaf.path]
    return leaves[words[0] : words[-1] + 1] if words else []


def replace_stretch(stretch: Stretch, parts: Sequence[Part]) -> None:
    """Puts the translation in the place of a stretch, each part in copies of the run and wrappers that it was in."""
    anchor = etree.Element("anchor")
    stretch[0].outermost[0].addprevious(anchor)
    copied: set[int] = set()

    def wrapper(element: Any) -> Any:
        made = shell(element)
        if id(element) in copied:
            without_identity(made)
        copied.add(id(element))
        return made

    def append(parent: Any, content: Any) -> None:
        if parent is None:
            anchor.addprevious(content)
        else:
            parent.append(content)

    old = [one for leaf in stretch if leaf.is_words or leaf.path for one in leaf.outermost]
    rebuild(items_of(stretch, parts), wrapper, append)
    for element in old:
        if element.getparent() is not None:
            element.getparent().remove(element)
    for field in list(anchor.getparent().iter(FIELD)):
        code, end, *content = field
        for element in (*code, *content, *end):
            field.addprevious(element)
        field.getparent().remove(field)
    anchor.getparent().remove(anchor)


def items_of(stretch: Stretch, parts: Sequence[Part]) -> Iterator[tuple[Sequence[Any], Any]]:
    """What is to be written, with its wrappers; a space is outside of a wrapper that ends with it."""
    parts = alike(stretch, in_order(stretch, parts))
    of_text = [stretch[number] for number, _ in parts if stretch[number].is_words]
    following = iter([*of_text[1:], *of_text[-1:]])
    space = ""
    for number, text in parts:
        leaf = stretch[number]
        if not leaf.is_words:
            yield from ((leaf.path, element) for element in leaf.elements)
            continue
        words = space + text
        space = words[len(words.rstrip()) :] if len(next(following).path) < len(leaf.path) else ""
        words = words.removesuffix(space)
        if words:
            yield leaf.path, run_of(leaf.elements[0], words)


def run_of(element: Any, text: str) -> Any:
    """A run that looks like another and says something else."""
    run = shell(element)
    written = etree.SubElement(run, run.tag.replace("}r", "}t"))
    written.text = NO_XML.sub("", text)
    if text != text.strip():
        written.set(XML_SPACE, "preserve")
    return run


def alike(stretch: Stretch, parts: Sequence[Part]) -> list[Part]:
    """The same with neighbours that look the same as one."""
    first: dict[object, int] = {}
    words = [i for i, leaf in enumerate(stretch) if leaf.is_words]
    same = {i: first.setdefault((stretch[i].path, stretch[i].look), i) for i in words}
    numbers = [same.get(i, i) for i in range(len(stretch))]
    runs = groupby(parts, lambda part: numbers[part.number])
    return [Part(number, "".join(part.text for part in run)) for number, run in runs]


def in_order(stretch: Stretch, parts: Sequence[Part]) -> list[Part]:
    """The same with the beginning of each bookmark or comment before its end."""
    found = list(parts)
    ends: dict[tuple[str, str], int] = {}
    for i, (number, _) in enumerate(found):
        element = stretch[number].elements[0]
        name = name_of(element)
        key = re.sub("(Start|End)$", "", name), next((v for k, v in element.attrib.items() if k.endswith("}id")), "")
        if name.endswith("End"):
            ends[key] = i
        elif name.endswith("Start") and key in ends:
            found[ends[key]], found[i] = found[i], found[ends[key]]
    return found


def shell(element: Any) -> Any:
    """A copy of a run or wrapper with its properties alone."""
    made = element.makeelement(element.tag, element.attrib)
    made.extend(
        copy.deepcopy(child) for child in element if name_of(child).endswith("Pr") or name_of(child) == "fldData"
    )
    return made


def without_identity(element: Any) -> None:
    """Takes away what makes a content control the only one of its kind."""
    for properties in element:
        for one in [one for one in properties if name_of(one) == "id"]:
            properties.remove(one)


def shape(element: Any) -> tuple[Any, ...]:
    """All of an element, so that it can be compared."""
    if name_of(element) in UNSEEN:
        return ()
    return element.tag, tuple(sorted(element.attrib.items())), tuple(map(shape, element))


def name_of(element: Any) -> str:
    """An element's name in Word's own namespaces, strict or not; nothing for others'."""
    tag = element.tag
    if not isinstance(tag, str):
        return ""
    return tag.rpartition("}")[2] if "wordprocessingml" in tag.partition("}")[0] or tag.startswith(FIELD) else ""
