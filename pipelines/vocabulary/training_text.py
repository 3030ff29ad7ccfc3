"""Prepares text for the SentencePiece trainer, which would skip long lines and lines with its reserved character.

The trainer has an option to accept longer lines, but this option does not help: in long lines without spaces, the
trainer's sums lose precision, and in the end the training fails.
"""

from collections.abc import Iterable, Iterator

LONGEST_LINE_BYTES = 4192  # the trainer's default
RESERVED = "\u2585"  # the character that the trainer puts between words


def trainer_lines(sentences: Iterable[str]) -> Iterator[str]:
    """Yields sentences with the reserved character replaced by a space; cuts long sentences, if possible at spaces."""
    for sentence in sentences:
        text = sentence.replace(RESERVED, " ")
        if 4 * len(text) <= LONGEST_LINE_BYTES or len(text.encode()) <= LONGEST_LINE_BYTES:
            yield text
        else:
            yield from _cut(text)


def _cut(text: str) -> Iterator[str]:
    """Yields parts that are not too long; with a limit of 6 bytes, "aaa bb cc" -> "aaa", "bb cc"."""
    rest = text.encode()
    while len(rest) > LONGEST_LINE_BYTES:
        end = rest.rfind(b" ", 1, LONGEST_LINE_BYTES + 1)
        if end < 0:
            end = LONGEST_LINE_BYTES
            while rest[end] & 0xC0 == 0x80:  # inside a character
                end -= 1
        yield rest[:end].decode()
        rest = rest[end:].removeprefix(b" ")
    yield rest.decode()
