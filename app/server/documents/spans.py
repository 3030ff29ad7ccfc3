"""The texts that the server exchanges with the processes that read and write files.

A source text is a list of spans: one string for each stretch with the same formatting. The joined spans are the text.
An empty span is a placeholder for something without text between two characters, such as a picture.
"""

from typing import NamedTuple


class Span(NamedTuple):
    """A stretch of a translation.

    Attributes:
        number: Index of the source span whose formatting the stretch has.
        text: Text of the stretch, with spaces.
    """

    number: int
    text: str


class Protected(str):
    """A source span that the model reads and that the translation contains unchanged, such as a name or code."""

    __slots__ = ()
