"""Builds the spans of a translation: words, marks, placeholders and spaces in their order.

Each word and mark of the translation gets the span of its source. The translation may lack spans without letters, such
as a footnote's number, a picture or a bookmark. Such a span is inserted after the word that it follows in the source,
or before the word that it precedes in the source.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import NamedTuple

import numpy as np

from keras_nmt.app.server.documents.projection.fragments import SourceFragment, TargetFragment
from keras_nmt.app.server.documents.projection.marks import project_marks
from keras_nmt.app.server.documents.projection.repair import fill_empty_spans, gather_protected
from keras_nmt.app.server.documents.projection.words import WordPairs, link_words, project_words
from keras_nmt.app.server.documents.spans import Protected, Span
from keras_nmt.app.server.documents.tokens import has_letters, is_droppable, tokens_of

NO_BREAK = re.compile("[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]")
WORD = re.compile(r"\S+")


class Insertion(NamedTuple):
    """A span to insert between fragments of the translation.

    Attributes:
        span: The span.
        space_before: True if the span follows a space in the source or begins the sentence. False for a placeholder
            directly after another placeholder.
        space_after: True if a space follows the span in the source, or the span ends the sentence.
    """

    span: Span
    space_before: bool
    space_after: bool


class Anchors(NamedTuple):
    """Positions in the translation at which a span can be inserted after or before a source fragment.

    Attributes:
        after: For each source fragment, the index of the target fragment after the translation of the source fragment.
        before: For each source fragment, the index of the first target fragment in the same span. If the span has no
            target fragment, the index of the first target fragment in the translation of the source fragment. One more
            entry at the end is the number of target fragments.
    """

    after: list[int]
    before: list[int]


class SpannedText:
    """A source text that consists of spans, which are stretches with the same formatting.

    The methods that return spans must be called in the order of the text, because the object records which placeholders
    and protected spans it has already returned.

    Args:
        spans: Text of each span; "" for a placeholder.
    """

    def __init__(self, spans: Sequence[str]) -> None:
        self.spans = spans
        self.text = "".join(spans)
        self.span_of = [number for number, span in enumerate(spans) for _ in span]  # span number of each character
        self.protected = {number for number, span in enumerate(spans) if isinstance(span, Protected) and span}
        self._begins = [0]
        for span in spans:
            self._begins.append(self._begins[-1] + len(span))
        self._placeholders = [number for number, span in enumerate(spans) if not span]
        self._placeholder_begins = [self._begins[number] for number in self._placeholders]
        self._next_placeholder = 0
        self._copied: set[int] = set()  # protected spans that were already returned
        self._space_span = next((n for n, span in enumerate(spans) if span and n not in self.protected), 0)

    def is_uniform(self, begin: int, end: int) -> bool:
        """Returns True if a sentence lies in one span and has no placeholder and no no-break space inside.

        Such a sentence needs no alignment.
        """
        inner = bisect_right(self._placeholder_begins, begin)
        has_placeholder = inner < len(self._placeholders) and self._placeholder_begins[inner] < end
        is_one = self.span_of[begin] == self.span_of[end - 1]
        return is_one and not has_placeholder and not NO_BREAK.search(self.text, begin, end)

    def between(self, begin: int, end: int, space: str | None) -> list[Span]:
        """Returns the spans between two sentences: white space and placeholders.

        Args:
            begin: Index of the character after the first sentence.
            end: Index of the second sentence's first character.
            space: Space between the translations; None keeps the space of the source.
        """
        found = []
        for at in range(begin, end):
            found += self._placeholders_before(at + 1)
            if self.span_of[at] not in self.protected:
                found.append(Span(self.span_of[at], self.text[at]))
        if space is None or space == self.text[begin:end]:
            return found
        spaces = [Span(self._space_span, space)] if space else []
        return [*spaces, *(span for span in found if not span.text)]

    def trailing_placeholders(self) -> list[Span]:
        """Returns the placeholders at the end of the text that were not returned yet."""
        return self._placeholders_before(len(self.text) + 1)

    def place_uniform(self, begin: int, end: int, translation: str) -> list[Span]:
        """Returns the spans of a translated sentence that lies in one span."""
        number = self.span_of[begin]
        before = self._placeholders_before(begin + 1)
        if number in self.protected:
            words = [self._copy_protected(number)] if number not in self._copied else []
        else:
            words = [Span(number, translation)]
            self._space_span = number
        return [*before, *words, *self._placeholders_before(end + 1)]

    def place(self, begin: int, end: int, translation: str, pairs: WordPairs, weights: np.ndarray) -> list[Span]:
        """Returns the spans of a translated sentence.

        Args:
            begin: Index of the sentence's first character.
            end: Index of the character after the sentence.
            translation: Translation of the sentence.
            pairs: Word alignment: indices of a source word and of a target word that translates the source word.
            weights: float [U, W]. The attention of each of U target words to each of W source words; [0, W] if no
                weights are known.
        """
        fragments, tokens = self._fragments(begin, end), tokens_of(translation)
        numbers = list(dict.fromkeys(fragment.span for fragment in fragments))
        links = link_words(fragments, tokens, pairs) if tokens else []
        projected = project_words(fragments, tokens, links)
        if projected:
            project_marks(fragments, projected, links)
            protected = {number: self.spans[number] for number in numbers if number in self.protected}
            gather_protected(projected, protected, self._space_span)
            lettered = [n for n in numbers if n not in self.protected and has_letters(self._span_within(n, begin, end))]
            fill_empty_spans(fragments, projected, lettered, self.protected, weights)
        missing = self._missing_spans(begin, end, fragments, projected)
        insertions = self._insertions(begin, end, missing, fragments, anchors(fragments, projected, links))
        return list(self._assembled(projected, insertions, self._spaces(begin, end, links)))

    def _placeholders_before(self, end: int) -> list[Span]:
        """Returns the placeholders before the character `end` that were not returned yet."""
        first = self._next_placeholder
        self._next_placeholder = bisect_left(self._placeholder_begins, end, first)
        return [Span(number, "") for number in self._placeholders[first : self._next_placeholder]]

    def _copy_protected(self, number: int) -> Span:
        self._copied.add(number)
        return Span(number, self.spans[number])

    def _span_within(self, number: int, begin: int, end: int) -> str:
        """Returns the text of span `number` between the characters `begin` and `end` of the source text."""
        return self.text[max(begin, self._begins[number]) : min(end, self._begins[number + 1])]

    def _fragments(self, begin: int, end: int) -> list[SourceFragment]:
        found = []
        for number, token in enumerate(tokens_of(self.text[begin:end])):
            at = begin + token.begin
            for span, group in groupby(self.span_of[at : begin + token.end]):
                length = len(list(group))
                found.append(SourceFragment(self.text[at : at + length], at, span, number, token.word, token.is_mark))
                at += length
        return found

    def _spaces(self, begin: int, end: int, links: Sequence[int]) -> list[str]:
        """Returns the space before each target word. No-break spaces are kept between the words that they join."""
        words = list(WORD.finditer(self.text, begin, end))
        gaps = [NO_BREAK.search(self.text, a.end(), b.start()) for a, b in pairwise(words)]
        found = [""]
        for before, word in pairwise(links):
            gap = gaps[before] if word == before + 1 else None
            found.append(gap[0] if gap else " ")
        return found

    def _missing_spans(
        self, begin: int, end: int, fragments: Sequence[SourceFragment], projected: Sequence[TargetFragment]
    ) -> list[Span]:
        """Returns the spans of a sentence that must be inserted because the translation lacks them."""
        present = {token.span for token in projected}
        missing = []
        for number in dict.fromkeys(fragment.span for fragment in fragments):
            text = self._span_within(number, begin, end).strip()
            if number in present or number in self._copied:
                continue
            if number in self.protected:
                missing.append(self._copy_protected(number))
            elif not has_letters(text) and not is_droppable(text):
                missing.append(Span(number, text))
        return sorted(missing + self._placeholders_before(end + 1))

    def _insertions(
        self, begin: int, end: int, missing: Sequence[Span], fragments: Sequence[SourceFragment], found: Anchors
    ) -> dict[int, list[Insertion]]:
        """Returns the insertions of the missing spans, by the index of the target fragment that follows them."""
        begins = [fragment.begin for fragment in fragments]
        insertions: dict[int, list[Insertion]] = {}
        previous = -1, -1
        for span in missing:
            first, last = self._trimmed(span, begin, end)
            space_before = first == begin or self.text[first - 1].isspace()
            space_after = last == end or self.text[last].isspace()
            at_previous, at_next = bisect_left(begins, first) - 1, bisect_left(begins, last)
            follows = not space_before or space_after or at_next == len(fragments)
            at = found.after[at_previous] if at_previous >= 0 and follows else found.before[at_next]
            is_at_previous_span = (first, last) == previous  # two placeholders without a space between them
            insertion = Insertion(span, space_before and not is_at_previous_span, space_after)
            insertions.setdefault(at, []).append(insertion)
            previous = first, last
        return insertions

    def _trimmed(self, span: Span, begin: int, end: int) -> tuple[int, int]:
        """Returns the begin and end of a span's part between `begin` and `end`, without white space at its ends."""
        first, last = max(begin, self._begins[span.number]), min(end, self._begins[span.number + 1])
        while span.text and self.text[first].isspace():
            first += 1
        while span.text and self.text[last - 1].isspace():
            last -= 1
        return first, last

    def _assembled(
        self, projected: Sequence[TargetFragment], insertions: dict[int, list[Insertion]], spaces: Sequence[str]
    ) -> Iterator[Span]:
        """Yields fragments, insertions and spaces in order, as spans. A space has the span of the text before it."""
        for at in range(len(projected) + 1):
            is_inner = 0 < at < len(projected)
            is_new_word = is_inner and projected[at].word != projected[at - 1].word
            is_copied = (
                is_inner and projected[at].span == projected[at - 1].span and projected[at].span in self.protected
            )
            space = spaces[projected[at].word] if is_new_word else ""
            inserted: Sequence[Insertion] = insertions.get(at, ())
            has_space = False
            for span, space_before, _ in inserted:
                if space_before and at > 0:
                    yield Span(self._space_span, space or " ")
                    has_space = True
                yield span
            if at == len(projected) or is_copied:
                continue
            needs_space = bool(inserted) and inserted[-1].space_after and bool(space or not projected[at].is_mark)
            if needs_space or (space and not has_space):
                yield Span(self._space_span, space or " ")
            number = projected[at].span
            if number in self.protected:
                yield self._copy_protected(number)
            else:
                self._space_span = number
                yield Span(number, projected[at].text)


def anchors(fragments: Sequence[SourceFragment], projected: Sequence[TargetFragment], links: Sequence[int]) -> Anchors:
    """Finds the positions before and after the translation of each source fragment.

    A fragment without a translation gets the positions of its word. If the word has no translation either, the fragment
    gets the positions of a neighbouring fragment.
    """
    by_source: dict[int, list[int]] = {}
    by_word: dict[int, list[int]] = {}
    first_of_span: dict[int, int] = {}
    for i, token in enumerate(projected):
        by_source.setdefault(token.source, []).append(i)
        by_word.setdefault(links[token.word], []).append(i)
        first_of_span.setdefault(token.span, i)
    found = [by_source.get(i) or by_word.get(fragment.word) for i, fragment in enumerate(fragments)]
    after: list[int] = []
    for own in found:
        after.append(own[-1] + 1 if own else after[-1] if after else 0)
    before = [len(projected)]
    for fragment, own in reversed(list(zip(fragments, found, strict=True))):
        before.append(first_of_span.get(fragment.span, own[0] if own else before[-1]))
    return Anchors(after, before[::-1])
