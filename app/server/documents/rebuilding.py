"""Puts a translation into copies of the elements that were around its source, whatever the elements are made of."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeVar

Element = TypeVar("Element")


def rebuild(
    items: Iterable[tuple[Sequence[Element], Any]],
    shell: Callable[[Element], Element],
    append: Callable[[Element | None, Any], None],
) -> None:
    """Appends each content in copies of its elements; neighbours share those that they have in common.

    Args:
        items: Each with the elements that are to be around it, the outermost first.
        shell: Copies an element without what is in it.
        append: Adds something at the end of an element, or where the source was if that is None.
    """
    opened: list[tuple[Element, Element]] = []  # an element, and the copy that stands for it
    for path, content in items:
        del opened[shared(path, [element for element, _ in opened]) :]
        for element in path[len(opened) :]:
            made = shell(element)
            append(opened[-1][1] if opened else None, made)
            opened.append((element, made))
        append(opened[-1][1] if opened else None, content)


def shared(path: Sequence[Element], other: Sequence[Element]) -> int:
    """How many elements two paths have in common, from the outermost on."""
    count = 0
    while count < min(len(path), len(other)) and path[count] is other[count]:
        count += 1
    return count
