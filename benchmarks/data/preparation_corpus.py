"""The corpus of the benchmark of `nmt prepare`: real pairs, repeated to any number, each copy with words of its own.

Each copy gets three words of the text behind both sides, so that no filter for duplicates takes one for another.
"""

import random
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

from benchmarks.data.stream_corpus import read_text

SEED, STAMP_WORDS = 1, 3


def write_text(text: Path, prefix: Path, pairs: int) -> None:
    """Writes so many pairs, made of those below the folder `text`, to PREFIX.en and PREFIX.de."""
    sides = read_text(text)
    streams = (stamped(side, random.Random(SEED + number)) for number, side in enumerate(sides))
    for language, lines in zip(("en", "de"), streams, strict=True):
        with Path(f"{prefix}.{language}").open("w", encoding="utf-8") as file:
            file.writelines(islice(lines, pairs))


def stamped(sentences: Sequence[str], draw: random.Random) -> Iterator[str]:
    """Yields the sentences as lines, over and over, from the second time on with words drawn from among them."""
    words = sorted({word for sentence in sentences for word in sentence.split() if word.isalpha()})
    yield from (f"{sentence}\n" for sentence in sentences)
    while True:
        for sentence in sentences:
            yield f"{sentence} {' '.join(draw.choices(words, k=STAMP_WORDS))}\n"


if __name__ == "__main__":
    write_text(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
