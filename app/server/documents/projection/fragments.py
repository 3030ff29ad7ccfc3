"""Fragments: tokens, or parts of tokens if a token lies in several spans."""

from dataclasses import dataclass
from typing import NamedTuple


class SourceFragment(NamedTuple):
    """A source token, or the part of a source token that lies in one span.

    Attributes:
        text: Characters of the fragment.
        begin: Index of the fragment's first character in the text.
        span: Number of the span that contains the fragment.
        token: Index in the sentence of the token that contains the fragment.
        word: Index in the sentence of the word that contains the fragment.
        is_mark: True for a punctuation mark or symbol.
    """

    text: str
    begin: int
    span: int
    token: int
    word: int
    is_mark: bool


@dataclass
class TargetFragment:
    """A token of the translation, or the part of such a token that lies in one span.

    Attributes:
        text: Characters of the fragment.
        word: Index in the translation of the word that contains the fragment.
        is_mark: True for a punctuation mark or symbol.
        span: Number of the span that contains the fragment; -1 until a span is assigned.
        source: Index of the source fragment that this fragment translates; -1 for none.
    """

    text: str
    word: int
    is_mark: bool
    span: int = -1
    source: int = -1
