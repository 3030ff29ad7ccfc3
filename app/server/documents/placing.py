"""Where the parts of a source go in its translation.

Each word and mark is of the part that it comes from. What has no letters and is not in the translation, such as a
footnote's number, a picture or a bookmark, goes behind the word that it stood at, or before it.
"""

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from app.server.documents.owners import Pairs, Piece, Placed, gather, give_words, linked, place_marks, placed_words
from app.server.documents.parts import Kept, Part
from app.server.documents.tokens import can_go, has_letters, tokens_of

NO_BREAK = re.compile("[\N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}]")
WORD = re.compile(r"\S+")


class Inserted(NamedTuple):
    """What is put between tokens of the translation, and whether there were spaces around it in the source."""

    part: Part
    space_before: bool
    space_behind: bool


class Source:
    """A text in parts, which are put together without a space; one without text is a place between two characters.

    Its sentences are placed in their order, with what is between them, by the same object.
    """

    def __init__(self, parts: Sequence[str]) -> None:
        self.parts = parts
        self.text = "".join(parts)
        self.owners = [number for number, part in enumerate(parts) for _ in part]
        self.kept = {number for number, part in enumerate(parts) if isinstance(part, Kept) and part}
        self._begins = [0]
        for part in parts:
            self._begins.append(self._begins[-1] + len(part))
        self._places = [number for number, part in enumerate(parts) if not part]
        self._place_begins = [self._begins[number] for number in self._places]
        self._next_place = 0
        self._kept_placed: set[int] = set()
        self._of_spaces = next((n for n, part in enumerate(parts) if part and n not in self.kept), 0)

    def is_plain(self, begin: int, end: int) -> bool:
        """Whether a sentence is of one part, so that it needs no alignment."""
        inner = bisect_right(self._place_begins, begin)
        has_place = inner < len(self._places) and self._place_begins[inner] < end
        is_one = self.owners[begin] == self.owners[end - 1]
        return is_one and not has_place and not NO_BREAK.search(self.text, begin, end)

    def between(self, begin: int, end: int, space: str | None) -> list[Part]:
        """What stands between two sentences.

        Args:
            begin: Where the first ends.
            end: Where the second begins.
            space: What their translations have between them; None for what the source has.
        """
        found = []
        for at in range(begin, end):
            found += [Part(number, "") for number in self._places_before(at + 1)]
            if self.owners[at] not in self.kept:
                found.append(Part(self.owners[at], self.text[at]))
        if space is None or space == self.text[begin:end]:
            return found
        spaces = [Part(self._of_spaces, space)] if space else []
        return [*spaces, *(part for part in found if not part.text)]

    def rest(self) -> list[Part]:
        """The places behind all text."""
        return [Part(number, "") for number in self._places_before(len(self.text) + 1)]

    def plain(self, begin: int, end: int, translation: str) -> list[Part]:
        """A sentence of one part."""
        owner = self.owners[begin]
        before = [Part(number, "") for number in self._places_before(begin + 1)]
        if owner in self.kept:
            words = [self._kept_once(owner)] if owner not in self._kept_placed else []
        else:
            words = [Part(owner, translation)]
            self._of_spaces = owner
        return [*before, *words, *(Part(number, "") for number in self._places_before(end + 1))]

    def placed(self, begin: int, end: int, translation: str, pairs: Pairs, weights: Any) -> list[Part]:
        """A sentence of several parts.

        Args:
            begin: Its first character.
            end: The character behind its last.
            translation: Of the sentence.
            pairs: A word of the sentence and the word of the translation that comes from it.
            weights: float [U, W], how much each word of the translation looks at each word of the sentence.
        """
        pieces, tokens = self._pieces(begin, end), tokens_of(translation)
        numbers = list(dict.fromkeys(piece.owner for piece in pieces))
        links = linked(pieces, tokens, pairs) if tokens else []
        placed = placed_words(pieces, tokens, links)
        if placed:
            place_marks(pieces, placed, links)
            gather(placed, {number: self.parts[number] for number in numbers if number in self.kept}, self._of_spaces)
            lettered = [n for n in numbers if n not in self.kept and has_letters(self._part_within(n, begin, end))]
            give_words(pieces, placed, lettered, self.kept, weights)
        inserted = self._inserted(begin, end, pieces, placed, links)
        return list(self._written(placed, inserted, self._spaces(begin, end, links)))

    def _places_before(self, end: int) -> list[int]:
        """The next places that are before a character."""
        first = self._next_place
        self._next_place = bisect_left(self._place_begins, end, first)
        return self._places[first : self._next_place]

    def _kept_once(self, number: int) -> Part:
        self._kept_placed.add(number)
        return Part(number, self.parts[number])

    def _part_within(self, number: int, begin: int, end: int) -> str:
        """As much of a part as is in a sentence."""
        return self.text[max(begin, self._begins[number]) : min(end, self._begins[number + 1])]

    def _pieces(self, begin: int, end: int) -> list[Piece]:
        found = []
        for number, token in enumerate(tokens_of(self.text[begin:end])):
            at = begin + token.begin
            for owner, group in groupby(self.owners[at : begin + token.end]):
                length = len(list(group))
                found.append(Piece(self.text[at : at + length], at, owner, number, token.word, token.is_mark))
                at += length
        return found

    def _spaces(self, begin: int, end: int, links: Sequence[int]) -> list[str]:
        """What stands before each word of the translation: a space that breaks no line stays between its words."""
        words = list(WORD.finditer(self.text, begin, end))
        gaps = [NO_BREAK.search(self.text, a.end(), b.start()) for a, b in pairwise(words)]
        found = [""]
        for before, word in pairwise(links):
            gap = gaps[before] if word == before + 1 else None
            found.append(gap[0] if gap else " ")
        return found

    def _inserted(
        self, begin: int, end: int, pieces: Sequence[Piece], placed: Sequence[Placed], links: Sequence[int]
    ) -> dict[int, list[Inserted]]:
        """What is in no token of the translation, by the token that it goes before."""
        held = {token.owner for token in placed}
        lost = []
        for number in dict.fromkeys(piece.owner for piece in pieces):
            text = self._part_within(number, begin, end).strip()
            if number in held or number in self._kept_placed:
                continue
            if number in self.kept:
                lost.append(self._kept_once(number))
            elif not has_letters(text) and not can_go(text):
                lost.append(Part(number, text))
        lost += [Part(number, "") for number in self._places_before(end + 1)]
        behind, before = anchors(pieces, placed, links)
        begins = [piece.begin for piece in pieces]
        found: dict[int, list[Inserted]] = {}
        before_it = -1, -1
        for part in sorted(lost):
            first, last = max(begin, self._begins[part.number]), min(end, self._begins[part.number + 1])
            while part.text and self.text[first].isspace():
                first += 1
            while part.text and self.text[last - 1].isspace():
                last -= 1
            space_before = first == begin or self.text[first - 1].isspace()
            space_behind = last == end or self.text[last].isspace()
            at_previous, at_next = bisect_left(begins, first) - 1, bisect_left(begins, last)
            is_behind = not space_before or space_behind or at_next == len(pieces)
            if at_previous >= 0 and is_behind:
                at = behind[at_previous]
            else:
                at = before[at_next] if at_next < len(pieces) else len(placed)
            is_beside_another = (first, last) == before_it  # with no space between them
            found.setdefault(at, []).append(Inserted(part, space_before and not is_beside_another, space_behind))
            before_it = first, last
        return found

    def _written(
        self, placed: Sequence[Placed], inserted: dict[int, list[Inserted]], spaces: Sequence[str]
    ) -> Iterator[Part]:
        """The tokens and what is inserted, with the spaces between them; a space is of the part before it."""
        for at in range(len(placed) + 1):
            is_inner = 0 < at < len(placed)
            is_new_word = is_inner and placed[at].word != placed[at - 1].word
            is_kept_already = is_inner and placed[at].owner == placed[at - 1].owner and placed[at].owner in self.kept
            space = spaces[placed[at].word] if is_new_word else ""
            items: Sequence[Inserted] = inserted.get(at, ())
            has_space = False
            for part, space_before, _ in items:
                if space_before and at > 0:
                    yield Part(self._of_spaces, space or " ")
                    has_space = True
                yield part
            if at == len(placed) or is_kept_already:
                continue
            needs_space = bool(items) and items[-1].space_behind and bool(space or not placed[at].is_mark)
            if needs_space or (space and not has_space):
                yield Part(self._of_spaces, space or " ")
            owner = placed[at].owner
            if owner in self.kept:
                yield self._kept_once(owner)
            else:
                self._of_spaces = owner
                yield Part(owner, placed[at].text)


def anchors(pieces: Sequence[Piece], placed: Sequence[Placed], links: Sequence[int]) -> tuple[list[int], list[int]]:
    """The token of the translation that follows on each piece of the source, and the one that begins with it."""
    of_piece: dict[int, list[int]] = {}
    of_word: dict[int, list[int]] = {}
    of_part: dict[int, int] = {}
    for i, token in enumerate(placed):
        of_piece.setdefault(token.piece, []).append(i)
        of_word.setdefault(links[token.word], []).append(i)
        of_part.setdefault(token.owner, i)
    found = [of_piece.get(i) or of_word.get(piece.word) for i, piece in enumerate(pieces)]
    behind: list[int] = []
    for own in found:
        behind.append(own[-1] + 1 if own else behind[-1] if behind else 0)
    before: list[int] = []
    for piece, own in reversed(list(zip(pieces, found, strict=True))):
        before.append(of_part.get(piece.owner, own[0] if own else before[-1] if before else len(placed)))
    return behind, before[::-1]
