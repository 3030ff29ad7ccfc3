"""Replaces the source text in an HTML page by its translation."""

from collections.abc import Iterator, Sequence

from bs4.element import NavigableString, PageElement, Tag

from keras_nmt.app.server.documents.element_copies import common_depth, write_in_copies
from keras_nmt.app.server.documents.html.reading import HtmlLeaf
from keras_nmt.app.server.documents.spans import Protected, Span


def replace_unit(unit: Sequence[HtmlLeaf], spans: Sequence[Span]) -> None:
    """Replaces a text unit, which is a sequence of leaves translated as one text, by its translation.

    Each span of the translation is written inside copies of the inline elements that enclosed the source span. Only the
    first copy of an element keeps the `id`.

    Args:
        unit: Leaves of the text unit.
        spans: Spans of the translation.
    """
    outermost = [leaf.path[0] if leaf.path else leaf.node for leaf in unit]
    anchor = NavigableString("")
    outermost[0].insert_before(anchor)
    for node in outermost:
        node.extract()
    copied: set[int] = set()

    def copy_empty(element: Tag) -> Tag:
        made = element.copy_self()
        made.attrs = {name: value for name, value in element.attrs.items() if name != "id" or id(element) not in copied}
        copied.add(id(element))
        return made

    def append(parent: Tag | None, content: PageElement) -> None:
        if parent is None:
            anchor.insert_before(content)
        else:
            parent.append(content)

    write_in_copies(items_of(unit, spans), copy_empty, append)
    anchor.extract()


def items_of(unit: Sequence[HtmlLeaf], spans: Sequence[Span]) -> Iterator[tuple[Sequence[Tag], PageElement]]:
    """Yields pairs: the inline elements that will enclose a node, the outermost first, and the node to write.

    A space at the end of an inline element is moved behind the element.
    """
    before: tuple[Tag, ...] = ()
    for i, (number, text) in enumerate(spans):
        leaf = unit[number]
        if not leaf.text or isinstance(leaf.text, Protected):
            yield leaf.path, leaf.node
            if leaf.space:
                yield leaf.path, NavigableString(leaf.space)
            before = leaf.path
            continue
        after = unit[spans[i + 1].number].path if i + 1 < len(spans) else leaf.path
        words = text.rstrip()
        if words:
            yield leaf.path, NavigableString(words)
        else:
            after = before
        if words != text:
            yield leaf.path[: common_depth(leaf.path, after)], NavigableString(text[len(words) :])
        before = leaf.path
