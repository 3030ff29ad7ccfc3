"""Writing of a translation into copies of the elements that enclosed its source, for HTML and Word alike."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

Element = TypeVar("Element")
Content = TypeVar("Content")


def write_in_copies(
    items: Iterable[tuple[Sequence[Element], Content]],
    copy_empty: Callable[[Element], Element],
    append: Callable[[Element | None, Content | Element], None],
) -> None:
    """Appends each content inside copies of its elements. Neighbours share the copies of their common elements.

    Args:
        items: Pairs of the elements that enclose a content, the outermost first, and the content.
        copy_empty: Copies an element without its content.
        append: Appends a content or a copy to an element, or to the place of the source if the element is None.
    """
    opened: list[tuple[Element, Element]] = []  # an element and its current copy
    for path, content in items:
        del opened[common_depth(path, [element for element, _ in opened]) :]
        for element in path[len(opened) :]:
            made = copy_empty(element)
            append(opened[-1][1] if opened else None, made)
            opened.append((element, made))
        append(opened[-1][1] if opened else None, content)


def common_depth(path: Sequence[Element], other: Sequence[Element]) -> int:
    """Returns the number of elements that two paths have in common, from the outermost on."""
    count = 0
    while count < min(len(path), len(other)) and path[count] is other[count]:
        count += 1
    return count
