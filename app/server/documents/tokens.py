"""Splits sentences into words and punctuation marks, and finds equivalent marks of different languages."""

# ruff: noqa: RUF001  # marks of many scripts look alike
import re
import unicodedata
from typing import NamedTuple

import regex

_WORD = re.compile(r"\S+")
_LETTERS = r"[\w\p{M}\p{Cf}]"
_TOKEN = regex.compile(rf"{_LETTERS}+(?:['’‐‑-]{_LETTERS}+)*|[^\w\p{{M}}\p{{Cf}}]")
_EQUIVALENT_MARKS = {
    "\"'«»„“”‚‘’‹›「」『』《》": '"',
    ".!?…。！？؟।॥": ".",
    ",،、，": ",",
    ";；؛": ";",
    ":：": ":",
    "-‐‑‒–—―": "-",
}
_CANONICAL = {mark: canonical for marks, canonical in _EQUIVALENT_MARKS.items() for mark in marks}
_DROPPABLE = ',;:-"'  # a translation may be correct without these marks


class Token(NamedTuple):
    """A word without the marks before and after the word, or a single mark.

    Attributes:
        text: Characters of the token.
        begin: Index of the token's first character in the sentence.
        word: Index of the word that contains the token. Words are separated by white space.
        is_mark: True for a punctuation mark or symbol.
    """

    text: str
    begin: int
    word: int
    is_mark: bool

    @property
    def end(self) -> int:
        """Index of the character after the token."""
        return self.begin + len(self.text)


def tokens_of(sentence: str) -> list[Token]:
    """Splits a sentence into tokens."""
    found = []
    for number, word in enumerate(_WORD.finditer(sentence)):
        for token in _TOKEN.finditer(word[0]):
            is_mark = len(token[0]) == 1 and not has_letters(token[0]) and not token[0].isnumeric()
            found.append(Token(token[0], word.start() + token.start(), number, is_mark))
    return found


def canonical_mark(mark: str) -> str:
    """Returns the same mark for all equivalent marks, such as “ and «. Other marks are normalized with NFKC."""
    return _CANONICAL.get(mark) or unicodedata.normalize("NFKC", mark)


def is_droppable(text: str) -> bool:
    """Returns True if a text consists only of marks that a correct translation may lack, such as commas.

    Brackets count as such marks: a missing bracket is not inserted, since the other bracket of the pair could be
    missing too.
    """
    return bool(text) and all(
        canonical_mark(one) in _DROPPABLE or unicodedata.category(one) in ("Ps", "Pe") for one in text
    )


def has_letters(text: str) -> bool:
    """Returns True if a text has a letter and therefore something to translate."""
    return any(map(str.isalpha, text))


def is_name_or_number(text: str, is_first: bool) -> bool:
    """Returns True if a token is a number or a name, which is most likely the same in both languages.

    A number is a token with a digit. A name is a token of several characters with a capital letter, unless the token is
    the first one of the sentence.
    """
    return any(map(str.isdigit, text)) or (not is_first and len(text) > 1 and text != text.lower())
