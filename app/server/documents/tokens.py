"""Words and punctuation marks of a sentence, and which marks of two languages are the same."""

# ruff: noqa: RUF001  # marks of many scripts that look like others
import re
import unicodedata
from typing import NamedTuple

import regex

_WORD = re.compile(r"\S+")
_LETTERS = r"[\w\p{M}\p{Cf}]"
_TOKEN = regex.compile(rf"{_LETTERS}+(?:['’‐‑-]{_LETTERS}+)*|[^\w\p{{M}}\p{{Cf}}]")
_SAME = {
    "\"'«»„“”‚‘’‹›「」『』《》": '"',
    ".!?…。！？؟।॥": ".",
    ",،、，": ",",
    ";；؛": ";",
    ":：": ":",
    "-‐‑‒–—―": "-",
}
_KINDS = {mark: kind for marks, kind in _SAME.items() for mark in marks}
_CAN_GO = ',;:-"'  # another language may do without such a mark


class Token(NamedTuple):
    """A word without the marks around it, or one mark.

    Attributes:
        text: What is written.
        begin: The first of its characters in the sentence.
        word: The number of the word that it is in, a word being what stands between two spaces.
        is_mark: Whether it is a punctuation mark or symbol.
    """

    text: str
    begin: int
    word: int
    is_mark: bool

    @property
    def end(self) -> int:
        """The character behind its last."""
        return self.begin + len(self.text)


def tokens_of(sentence: str) -> list[Token]:
    """The tokens of a sentence in order."""
    found = []
    for number, word in enumerate(_WORD.finditer(sentence)):
        for token in _TOKEN.finditer(word[0]):
            is_mark = len(token[0]) == 1 and not has_letters(token[0]) and not token[0].isnumeric()
            found.append(Token(token[0], word.start() + token.start(), number, is_mark))
    return found


def kind_of(mark: str) -> str:
    """The same for marks that stand for one another in translations, such as “ and «."""
    return _KINDS.get(mark) or unicodedata.normalize("NFKC", mark)


def can_go(text: str) -> bool:
    """Whether a translation is whole without these marks, or would be odd with one of two brackets."""
    return bool(text) and all(kind_of(one) in _CAN_GO or unicodedata.category(one) in ("Ps", "Pe") for one in text)


def has_letters(text: str) -> bool:
    """Whether there is something to translate."""
    return any(map(str.isalpha, text))


def is_name(text: str, is_first: bool) -> bool:
    """Whether a token is most likely the same in both languages: it has a digit, or a capital within the sentence."""
    return any(map(str.isdigit, text)) or (not is_first and len(text) > 1 and text != text.lower())
