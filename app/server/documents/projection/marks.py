"""Projects the source spans onto the punctuation marks of a translation.

A mark gets the span of the equivalent mark in the source. Brackets around a link, for example, stay outside the link.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from itertools import groupby

from keras_nmt.app.server.documents.projection.fragments import SourceFragment, TargetFragment
from keras_nmt.app.server.documents.tokens import canonical_mark

SENTENCE_END = canonical_mark(".")


def project_marks(
    fragments: Sequence[SourceFragment], projected: Sequence[TargetFragment], links: Sequence[int]
) -> None:
    """Assigns each punctuation mark or symbol of the translation to a source span.

    A mark gets the span of an equivalent source mark. If the function finds no such source mark, an opening mark gets
    the span of the next token, and any other mark gets the span of the previous token.

    Args:
        fragments: Fragments of the source sentence.
        projected: Fragments of the translation, whose spans the function changes.
        links: Index of the source word for each target word.
    """
    opens = opening_marks(projected)
    unused = match_marks_in_words(fragments, projected, links, opens)
    match_marks_in_sentence(fragments, projected, unused)
    for i in range(len(projected) - 2, -1, -1):
        if projected[i].span < 0 and opens[i]:
            projected[i].span = projected[i + 1].span
    before = next((token.span for token in projected if token.span >= 0), fragments[0].span)
    for token in projected:
        token.span = before = token.span if token.span >= 0 else before


def match_marks_in_words(
    fragments: Sequence[SourceFragment],
    projected: Sequence[TargetFragment],
    links: Sequence[int],
    opens: Sequence[bool],
) -> list[int]:
    """Matches the punctuation marks of a target word with equivalent marks of the linked source word.

    An opening mark, which is before the first letter or digit of its word, matches only opening marks. Any other mark
    matches only marks that are not opening marks.

    Args:
        fragments: Fragments of the source sentence.
        projected: Fragments of the translation, whose spans the function changes.
        links: Index of the source word for each target word.
        opens: For each fragment of the translation, True if it is a mark before the first letter or digit of its word.

    Returns:
        The indices in `fragments` of the source marks that are still unmatched, ascending.
    """
    candidates: dict[tuple[int, bool, str], deque[int]] = defaultdict(deque)
    for i, (fragment, is_opening) in enumerate(zip(fragments, opening_marks(fragments), strict=True)):
        if fragment.is_mark:
            candidates[fragment.word, is_opening, canonical_mark(fragment.text)].append(i)
    for token, is_opening in zip(projected, opens, strict=True):
        if not token.is_mark:
            continue
        if same := candidates[links[token.word], is_opening, canonical_mark(token.text)]:
            token.source = same.popleft()
            token.span = fragments[token.source].span
    return sorted(i for left in candidates.values() for i in left)


def match_marks_in_sentence(
    fragments: Sequence[SourceFragment], projected: Sequence[TargetFragment], unused: Sequence[int]
) -> None:
    """Matches the remaining punctuation marks of the translation with the remaining source marks, in order.

    A mark that does not end a sentence matches only if the source mark's span has no token in the translation yet, or
    if a neighbour of the mark is in the source mark's span. Otherwise this span would no longer be contiguous.

    Args:
        fragments: Fragments of the source sentence.
        projected: Fragments of the translation, whose spans the function changes.
        unused: Indices in `fragments` of the source marks that are still unmatched.
    """
    candidates: dict[str, deque[int]] = defaultdict(deque)
    for i in unused:
        candidates[canonical_mark(fragments[i].text)].append(i)
    spans = {token.span for token in projected}
    for number, token in enumerate(projected):
        if token.span >= 0 or not (same := candidates[canonical_mark(token.text)]):
            continue
        span = fragments[same[0]].span
        beside = {other.span for other in projected[max(0, number - 1) : number + 2]}
        if span not in spans or span in beside or canonical_mark(token.text) == SENTENCE_END:
            token.source, token.span = same.popleft(), span
            spans.add(span)


def opening_marks(fragments: Sequence[SourceFragment | TargetFragment]) -> list[bool]:
    """Returns True for each fragment that is a punctuation mark before the first letter or digit of its word."""
    found: list[bool] = []
    for _, group in groupby(fragments, lambda fragment: fragment.word):
        in_word = list(group)
        first = next((i for i, fragment in enumerate(in_word) if not fragment.is_mark), 0)
        found += [i < first for i in range(len(in_word))]
    return found
