"""The texts that pass between the server and the processes that read and write files.

A source text is a list of spans, one string for each stretch with the same formatting. Joined, the spans are the text.
An empty span is a placeholder: it stands between two characters for something without text, such as a picture.
"""

from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of a translation.

    Attributes:
        number: Index of the source span whose formatting it has.
        text: Its text, with spaces.
    """

    number: int
    text: str


class Protected(str):
    """A source span that the model reads and that the translation contains unchanged, such as a name or code."""

    __slots__ = ()
