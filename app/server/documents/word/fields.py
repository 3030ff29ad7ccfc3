"""Word fields that are made of runs, such as a link or a page number.

A field consists of a begin mark, instructions, a separator mark, the result and an end mark. While a paragraph is
translated, a temporary element encloses the result of each field, so that fields are handled like other wrappers.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from lxml import etree
from lxml.etree import _Element as Element

from keras_nmt.app.server.documents.spans import Protected
from keras_nmt.app.server.documents.tokens import has_letters
from keras_nmt.app.server.documents.word.leaves import FIELD, WordLeaf, local_name

MAX_NESTED_FIELDS = 8


def wrap_fields(leaves: Iterable[WordLeaf]) -> list[WordLeaf]:
    """Replaces the leaves of each complete field by the result of `wrap_field`, and returns all leaves.

    The leaves that mark the start and the end of an incomplete field, or of a field nested too deeply, are not
    replaced. Like every border, they end a text unit.
    """
    found: list[WordLeaf] = []
    opened: list[list[int]] = []  # for each open field: first index of the field, first index of its result
    for leaf in leaves:
        found.append(leaf)
        mark = field_mark(leaf)
        if mark == "begin":
            opened.append([len(found) - 1])
        elif mark == "separate" and opened:
            opened[-1].append(len(found))
        elif mark == "end" and opened:
            begin, result = [*opened.pop(), len(found) - 1][:2]
            if len(opened) < MAX_NESTED_FIELDS:
                found[begin:] = wrap_field(found[begin:result], found[result:-1], leaf)
    return found


def field_mark(leaf: WordLeaf) -> str:
    """Returns the kind of a field's mark: "begin", "separate" or "end". Returns "" for other leaves."""
    if not leaf.is_border:
        return ""
    attributes = (one.attrib.items() for one in leaf.elements[0] if local_name(one) == "fldChar")
    return next((value for items in attributes for name, value in items if name.endswith("}fldCharType")), "")


def wrap_field(code: Sequence[WordLeaf], result: Sequence[WordLeaf], end: WordLeaf) -> list[WordLeaf]:
    """Returns the leaves that replace the leaves of a complete field.

    Args:
        code: Leaves from the beginning of the field to its result.
        result: Leaves of the result.
        end: Leaf that ends the field.

    Returns:
        All leaves, unchanged, if the field crosses the border of another wrapper or of a text unit. One protected leaf
        if the result has no letters, such as a page number. Otherwise, the leaves of the result, with the temporary
        element of the field in their paths.
    """
    path = end.path
    is_level = all(leaf.path == path for leaf in code) and all(leaf.path[: len(path)] == path for leaf in result)
    if not is_level or any(leaf.is_border for leaf in result):
        return [*code, *result, end]
    inner = elements_below(result, len(path))
    if not any(has_letters(leaf.text) for leaf in result):
        return [WordLeaf((*elements_below(code, len(path)), *inner, *end.elements), path, protected_text(result))]
    field = etree.Element(FIELD)
    code[0].elements[0].addprevious(field)
    for around in (elements_below(code, len(path)), end.elements):
        etree.SubElement(field, FIELD + "Pr").extend(around)
    field.extend(inner)
    return [replace(leaf, path=(*path, field, *leaf.path[len(path) :])) for leaf in result]


def unwrap_fields(paragraph: Element) -> None:
    """Replaces the temporary element of each field by its content: the instructions, the result and the end mark."""
    for field in list(paragraph.iter(FIELD)):
        code, end, *content = field
        for element in (*code, *content, *end):
            field.addprevious(element)
        field.getparent().remove(field)


def protected_text(leaves: Sequence[WordLeaf]) -> Protected:
    """Returns the text of all leaves as one protected span, without white space at the ends."""
    return Protected("".join(leaf.text for leaf in leaves).strip())


def elements_below(leaves: Sequence[WordLeaf], depth: int) -> list[Element]:
    """Returns, for each leaf in order, element `depth` of its path, or the leaf's elements if the path is shorter.

    A wrapper that encloses several leaves is returned once.
    """
    found = [one for leaf in leaves for one in (leaf.path[depth : depth + 1] or leaf.elements)]
    return [one for i, one in enumerate(found) if not i or one is not found[i - 1]]
