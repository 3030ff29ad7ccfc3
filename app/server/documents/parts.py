"""What a text with markup is made of, as it goes between the server and the processes that read and write files."""

from typing import NamedTuple


class Part(NamedTuple):
    """A stretch of a translation, with the space around it.

    Attributes:
        number: Which part of the source it looks like.
        text: What is written.
    """

    number: int
    text: str


class Kept(str):
    """A part of a source that the model reads and nobody translates, such as a name or code."""

    __slots__ = ()
