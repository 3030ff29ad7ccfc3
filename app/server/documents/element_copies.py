"""Writes a translation into copies of the elements that enclosed the source text. Used for HTML and Word."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

AnyElement = TypeVar("AnyElement")
AnyContent = TypeVar("AnyContent")


def write_in_copies(
    items: Iterable[tuple[Sequence[AnyElement], AnyContent]],
    copy_empty: Callable[[AnyElement], AnyElement],
    append: Callable[[AnyElement | None, AnyContent | AnyElement], None],
) -> None:
    """Appends each content inside copies of the elements that enclose the content in the source.

    Neighbouring contents share the copies of the elements that enclose both contents.

    Args:
        items: Pairs of the enclosing elements, the outermost first, and the content.
        copy_empty: Function that copies an element without its content.
        append: Function that appends a content or a copy to an element. If the element is None, the function inserts
            the content or copy at the place of the source text.
    """
    opened: list[tuple[AnyElement, AnyElement]] = []  # pairs of an element and its current copy
    for path, content in items:
        del opened[common_depth(path, [element for element, _ in opened]) :]
        for element in path[len(opened) :]:
            made = copy_empty(element)
            append(opened[-1][1] if opened else None, made)
            opened.append((element, made))
        append(opened[-1][1] if opened else None, content)


def common_depth(path: Sequence[AnyElement], other: Sequence[AnyElement]) -> int:
    """Returns the number of elements that two paths have in common, counted from the outermost element."""
    count = 0
    while count < min(len(path), len(other)) and path[count] is other[count]:
        count += 1
    return count
