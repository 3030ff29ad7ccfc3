"""Text as SentencePiece's trainer reads it whole: the trainer leaves out long lines, and those with a mark of its own.

Its option for longer lines is no way out: where no spaces divide them, its sums over a line lose their precision, and
fail at last.
"""

from collections.abc import Iterable, Iterator

LONGEST_LINE_BYTES = 4192  # the trainer's default
RESERVED = "\u2585"  # stands between words inside the trainer


def readable(sentences: Iterable[str]) -> Iterator[str]:
    """Yields sentences with long ones cut, at spaces where there are some, and the reserved mark as a space."""
    for sentence in sentences:
        text = sentence.replace(RESERVED, " ")
        if 4 * len(text) <= LONGEST_LINE_BYTES or len(text.encode()) <= LONGEST_LINE_BYTES:
            yield text
        else:
            yield from _cut(text)


def _cut(text: str) -> Iterator[str]:
    """Yields parts that are not too long: "aaa bb cc" -> "aaa", "bb cc", were 6 bytes the most."""
    rest = text.encode()
    while len(rest) > LONGEST_LINE_BYTES:
        end = rest.rfind(b" ", 1, LONGEST_LINE_BYTES + 1)
        if end < 0:
            end = LONGEST_LINE_BYTES
            while rest[end] & 0xC0 == 0x80:  # within a character
                end -= 1
        yield rest[:end].decode()
        rest = rest[end:].removeprefix(b" ")
    yield rest.decode()
