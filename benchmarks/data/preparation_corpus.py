"""Builds the corpus on which `nmt prepare` is measured: real sentence pairs, repeated any number of times.

In each copy of a pair, three random words of the text are added at the end of both sides, so that no copy is a
duplicate.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.data.stream_corpus import read_text

SEED, ADDED_WORDS = 1, 3


def write_text(text: Path, prefix: Path, pairs: int) -> None:
    """Writes `pairs` sentence pairs to the files PREFIX.en and PREFIX.de.

    Args:
        text: The folder with the real sentence pairs, in files train….en and train….de.
        prefix: The path PREFIX.
        pairs: Number of pairs to write.
    """
    sides = read_text(text)
    streams = (repeated(side, random.Random(SEED + number)) for number, side in enumerate(sides))
    for language, lines in zip(("en", "de"), streams, strict=True):
        with Path(f"{prefix}.{language}").open("w", encoding="utf-8") as file:
            file.writelines(islice(lines, pairs))


def repeated(sentences: Sequence[str], draw: random.Random) -> Iterator[str]:
    """Yields the sentences as lines, again and again without end.

    The first time, the sentences are unchanged. Later, each line ends with three words that `draw` chooses at random.
    """
    words = sorted({word for sentence in sentences for word in sentence.split() if word.isalpha()})
    yield from (f"{sentence}\n" for sentence in sentences)
    while True:
        for sentence in sentences:
            yield f"{sentence} {' '.join(draw.choices(words, k=ADDED_WORDS))}\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
