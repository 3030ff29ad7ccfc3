"""Replaces the source text in a paragraph of a Word document by its translation."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from lxml import etree
from lxml.etree import _Element as Element

from keras_nmt.app.server.documents.element_copies import write_in_copies
from keras_nmt.app.server.documents.spans import Span
from keras_nmt.app.server.documents.word.fields import unwrap_fields
from keras_nmt.app.server.documents.word.leaves import XML_SPACE, TextUnit, copy_empty, local_name

INVALID_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def replace_unit(unit: TextUnit, spans: Sequence[Span]) -> None:
    """Replaces a text unit, which is a sequence of leaves translated as one text, by its translation.

    Each span of the translation is written into copies of the run and wrappers that contained the source span.

    Args:
        unit: Leaves of the text unit.
        spans: Spans of the translation.
    """
    anchor = etree.Element("anchor")
    unit[0].outermost[0].addprevious(anchor)
    copied: set[int] = set()

    def copy_wrapper(element: Element) -> Element:
        made = copy_empty(element)
        if id(element) in copied:
            remove_identity(made)
        copied.add(id(element))
        return made

    def append(parent: Element | None, content: Element) -> None:
        if parent is None:
            anchor.addprevious(content)
        else:
            parent.append(content)

    old = [one for leaf in unit if leaf.is_translatable or leaf.path for one in leaf.outermost]
    write_in_copies(items_of(unit, spans), copy_wrapper, append)
    for element in old:
        if element.getparent() is not None:
            element.getparent().remove(element)
    unwrap_fields(anchor.getparent())
    anchor.getparent().remove(anchor)


def items_of(unit: TextUnit, spans: Sequence[Span]) -> Iterator[tuple[Sequence[Element], Element]]:
    """Yields pairs: the wrappers that will enclose an element, the outermost first, and the element to write.

    A space at the end of a wrapper is moved behind the wrapper.
    """
    spans = merge_spans(unit, ordered_ranges(unit, spans))
    translated = [unit[number] for number, _ in spans if unit[number].is_translatable]
    following = iter([*translated[1:], *translated[-1:]])
    space = ""
    for number, text in spans:
        leaf = unit[number]
        if not leaf.is_translatable:
            yield from ((leaf.path, element) for element in leaf.elements)
            continue
        words = space + text
        space = words[len(words.rstrip()) :] if len(next(following).path) < len(leaf.path) else ""
        words = words.removesuffix(space)
        if words:
            yield leaf.path, run_with_text(leaf.elements[0], words)


def run_with_text(source: Element, text: str) -> Element:
    """Returns a run that contains `text` and has the look of the run `source`."""
    run = copy_empty(source)
    content = etree.SubElement(run, run.tag.replace("}r", "}t"))
    content.text = INVALID_XML.sub("", text)
    if text != text.strip():
        content.set(XML_SPACE, "preserve")
    return run


def merge_spans(unit: TextUnit, spans: Sequence[Span]) -> list[Span]:
    """Merges neighbouring spans whose leaves have the same look and wrappers."""
    first: dict[object, int] = {}
    words = [i for i, leaf in enumerate(unit) if leaf.is_translatable]
    same = {i: first.setdefault((unit[i].path, unit[i].look), i) for i in words}
    numbers = [same.get(i, i) for i in range(len(unit))]
    runs = groupby(spans, lambda span: numbers[span.number])
    return [Span(number, "".join(span.text for span in run)) for number, run in runs]


def ordered_ranges(unit: TextUnit, spans: Sequence[Span]) -> list[Span]:
    """Reorders the spans so that the start mark of each bookmark or comment comes before its end mark."""
    found = list(spans)
    ends: dict[tuple[str, str], int] = {}
    for i, (number, _) in enumerate(found):
        element = unit[number].elements[0]
        name = local_name(element)
        key = re.sub("(Start|End)$", "", name), next((v for k, v in element.attrib.items() if k.endswith("}id")), "")
        if name.endswith("End"):
            ends[key] = i
        elif name.endswith("Start") and key in ends:
            found[ends[key]], found[i] = found[i], found[ends[key]]
    return found


def remove_identity(element: Element) -> None:
    """Removes the `id` of a copied content control, because each `id` must be unique in a document."""
    for properties in element:
        for one in [one for one in properties if local_name(one) == "id"]:
            properties.remove(one)
