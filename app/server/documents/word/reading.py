"""Reads a paragraph of a Word document and finds its text units.

A paragraph consists of runs, which are stretches of text with the same look. Wrappers, such as links, insertions and
fields, may enclose runs. Invisible elements, such as marks of the spelling checker, are removed. Bookmarks, footnote
marks and pictures are placeholders between words and move with the words. Tabs and breaks keep their place and end a
text unit.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import groupby

from lxml.etree import _Element as Element

from keras_nmt.app.server.documents.placeholders import trimmed
from keras_nmt.app.server.documents.tokens import has_letters
from keras_nmt.app.server.documents.word.fields import protected_text, wrap_fields
from keras_nmt.app.server.documents.word.leaves import XML_SPACE, TextUnit, WordLeaf, copy_empty, local_name

WRAPPERS = frozenset(
    ("bdo", "customXml", "dir", "fldSimple", "hyperlink", "ins", "moveTo", "sdt", "sdtContent", "smartTag")
)
BORDERS = frozenset(("br", "cr", "delInstrText", "fldChar", "instrText", "ptab", "tab"))  # `wrap_fields` handles fields
INVISIBLE = frozenset(("lastRenderedPageBreak", "proofErr", "softHyphen"))
INVISIBLE_PROPERTIES = frozenset(("lang", "noProof"))  # properties of runs that do not change their look
MAX_WRAPPER_DEPTH = 20  # limited because each word of a translation may need copies of all its wrappers


def text_units(paragraph: Element) -> Iterator[TextUnit]:
    """Yields the text units of a paragraph, except those without text to translate.

    A text unit is a sequence of leaves that are translated together, as one text.

    The function changes the paragraph's XML but not its look: every run is divided into runs with one content each.
    """
    leaves = wrap_fields(leaves_of(paragraph, ()))
    torn = {id(wrapper) for leaf in leaves for wrapper in leaf.path[: None if leaf.is_border else -MAX_WRAPPER_DEPTH]}
    for (_, is_border), group in groupby(leaves, lambda leaf: (fixed_wrappers(leaf, torn), leaf.is_border)):
        movable = [replace(leaf, path=leaf.path[len(fixed_wrappers(leaf, torn)) :]) for leaf in group]
        unit = trimmed(merge_runs(movable))
        if not is_border and any(leaf.is_translatable and has_letters(leaf.text) for leaf in unit):
            yield unit


def fixed_wrappers(leaf: WordLeaf, torn: set[int]) -> tuple[int, ...]:
    """Returns the ids of a leaf's wrappers (enclosing elements) that cannot move with their words.

    These wrappers are the innermost wrapper in `torn` and all wrappers that enclose it.

    Args:
        leaf: A leaf.
        torn: Ids of the wrappers inside which a text unit ends, and of the wrappers that contain `MAX_WRAPPER_DEPTH` or
            more levels of wrappers.
    """
    last = max((i for i, wrapper in enumerate(leaf.path) if id(wrapper) in torn), default=-1)
    return tuple(map(id, leaf.path[: last + 1]))


def leaves_of(element: Element, path: tuple[Element, ...]) -> Iterator[WordLeaf]:
    """Yields the leaves of a paragraph or wrapper in order.

    Args:
        element: The paragraph or wrapper.
        path: Wrappers that enclose the children of `element`, including `element` itself if it is a wrapper.
    """
    for child in list(element):
        name = local_name(child)
        if name in WRAPPERS:
            inner = list(leaves_of(child, (*path, child)))
            if name == "fldSimple" and not any(has_letters(leaf.text) for leaf in inner):
                yield WordLeaf((child,), path, protected_text(inner))  # such as a page number
            else:
                yield from inner
        elif name == "r":
            yield from leaves_of_run(child, path)
        elif name in INVISIBLE:
            element.remove(child)
        elif isinstance(child.tag, str) and not name.endswith(("Pr", "fldData")):
            yield WordLeaf((child,), path)


def leaves_of_run(run: Element, path: tuple[Element, ...]) -> Iterator[WordLeaf]:
    """Yields a leaf for each content of a run. Moves each content except the first into a separate run."""
    properties = next((one for one in run if local_name(one) == "rPr"), ())
    look = tuple(map(comparable, properties))
    contents = [one for one in run if isinstance(one.tag, str) and one is not properties]
    for one in [one for one in contents if local_name(one) in INVISIBLE]:
        run.remove(one)
        contents.remove(one)
    if not contents:
        run.getparent().remove(run)
    own = run
    for i, one in enumerate(contents):
        if i:
            before, own = own, copy_empty(run)
            own.append(one)
            before.addnext(own)
        name = local_name(one)
        text = "-" if name == "noBreakHyphen" else shown_text(one) if name == "t" else ""
        if text or name != "t":
            yield WordLeaf((own,), path, text, look if text else "", name in BORDERS)


def shown_text(element: Element) -> str:
    """Returns the text that Word shows for an element `w:t`. Outer spaces count only with `xml:space="preserve"`."""
    text = re.sub(r"[\t\n\r]", " ", element.text or "").replace("\N{SOFT HYPHEN}", "")
    values = (outer.get(XML_SPACE) for outer in (element, *element.iterancestors()))
    return text if next(filter(None, values), "") == "preserve" else text.strip(" ")


def merge_runs(leaves: Iterable[WordLeaf]) -> list[WordLeaf]:
    """Merges neighbouring runs with the same look. Word divides runs, for example, where a text was edited."""
    found: list[WordLeaf] = []
    for leaf in leaves:
        last = found[-1] if found else None
        if last and last.is_translatable and leaf.is_translatable and last.path == leaf.path and last.look == leaf.look:
            found[-1] = replace(last, elements=last.elements + leaf.elements, text=last.text + leaf.text)
        else:
            found.append(leaf)
    return found


def comparable(element: Element) -> tuple[object, ...]:
    """Returns an element's name, attributes and content as a value that == can compare.

    Returns () for elements that do not change the look.
    """
    if local_name(element) in INVISIBLE_PROPERTIES:
        return ()
    return element.tag, tuple(sorted(element.attrib.items())), tuple(map(comparable, element))
