"""Fragments of tokens, each of which lies in one span."""

from dataclasses import dataclass
from typing import NamedTuple


class SourceFragment(NamedTuple):
    """A source token, or the fragment of one that lies in one span.

    Attributes:
        text: Its characters.
        begin: Index of its first character in the text.
        span: Number of its span.
        token: Number of its token in the sentence.
        word: Number of its word in the sentence.
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
    """A token of the translation, or the fragment of one that lies in one span.

    Attributes:
        text: Its characters.
        word: Number of its word.
        is_mark: True for a punctuation mark or symbol.
        span: Number of its span; -1 until it is assigned.
        source: Index of the source fragment that it translates; -1 for none.
    """

    text: str
    word: int
    is_mark: bool
    span: int = -1
    source: int = -1
