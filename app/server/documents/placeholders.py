"""Removes the placeholders around the text of a text unit. Used for HTML and Word."""

from collections.abc import Sequence
from typing import Protocol, TypeVar


class Leaf(Protocol):
    """A text, or an element that moves as a whole."""

    @property
    def text(self) -> str:
        """The text that the model reads; "" for a placeholder."""

    @property
    def path(self) -> Sequence[object]:
        """The inline elements or wrappers that enclose the leaf."""


AnyLeaf = TypeVar("AnyLeaf", bound=Leaf)


def trimmed(unit: Sequence[AnyLeaf]) -> Sequence[AnyLeaf]:
    """Returns a text unit without the placeholders at its beginning and end.

    The removed placeholders stay in place in the document. A placeholder inside an enclosing element is not removed.
    """
    words = [i for i, leaf in enumerate(unit) if leaf.text or leaf.path]
    return unit[words[0] : words[-1] + 1] if words else ()
