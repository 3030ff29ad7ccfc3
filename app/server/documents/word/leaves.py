"""The smallest parts of a paragraph that move as a whole, and access to Word's XML elements."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass

from lxml.etree import _Element as Element

from keras_nmt.app.server.documents.spans import Protected

FIELD = "field"  # temporary element that encloses a field made of runs
XML_SPACE = "{http://www.w3.org/XML/1998/namespace}space"


@dataclass(frozen=True)
class WordLeaf:
    """A text, a placeholder or a border in a paragraph.

    Attributes:
        elements: Elements that form the leaf and move together: runs with one content each, or other elements.
        path: Wrappers that enclose the elements, the outermost first.
        text: Text that the model reads; "" for a placeholder, `Protected` for text that Word generates, such as a page
            number.
        look: Properties of the runs, for comparison with other leaves.
        is_border: True if a text unit ends at this leaf, such as a tab or a break.
    """

    elements: tuple[Element, ...]
    path: tuple[Element, ...]
    text: str = ""
    look: object = ""
    is_border: bool = False

    @property
    def is_translatable(self) -> bool:
        """True if the leaf has text that is translated."""
        return bool(self.text) and not isinstance(self.text, Protected)

    @property
    def outermost(self) -> tuple[Element, ...]:
        """The outermost wrapper of the leaf, or the elements of the leaf if it has no wrapper."""
        return self.path[:1] or self.elements


TextUnit = Sequence[WordLeaf]  # leaves that are translated as one text


def local_name(element: Element) -> str:
    """Returns an element's name without the namespace, or "" for elements outside of Word's own namespaces."""
    tag = element.tag
    if not isinstance(tag, str):  # a comment or processing instruction
        return ""
    return tag.rpartition("}")[2] if "wordprocessingml" in tag.partition("}")[0] or tag.startswith(FIELD) else ""


def copy_empty(element: Element) -> Element:
    """Returns a copy of a run or wrapper with its properties and without its content."""
    made = element.makeelement(element.tag, element.attrib)
    made.extend(
        copy.deepcopy(child) for child in element if local_name(child).endswith("Pr") or local_name(child) == "fldData"
    )
    return made
