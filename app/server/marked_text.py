"""Text in parts that look different, such as bold words: which part each word of the translation belongs to.

The whole text is translated, and each word takes the part of the source word that it comes from, by the alignment.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np

from app.server.batching import Batcher
from app.server.translation import aligned, translate
from app.server.versions import Direction


class Part(NamedTuple):
    """A stretch of a translation, with the space around it.

    Attributes:
        number: Which part of the source it looks like.
        text: What is written.
    """

    number: int
    text: str


async def translate_parts(batcher: Batcher, direction: Direction, texts: Sequence[Sequence[str]]) -> list[list[Part]]:
    """Translates texts, each given in its parts, which are put together without a space.

    Every part of the source that has a word has one in the translation, as long as there are words enough.
    """
    whole = ["".join(parts) for parts in texts]
    translated = await translate(batcher, direction, whole)
    marked = [i for i, parts in enumerate(texts) if sum(bool(part.strip()) for part in parts) > 1]
    pairs = [(s.source, s.text) for i in marked for s in translated[i].sentences if s.source and s.text]
    alignments = dict(zip(pairs, await aligned(batcher, direction, pairs), strict=True))
    found = []
    for i, parts in enumerate(texts):
        if i not in marked:
            only = next((number for number, part in enumerate(parts) if part.strip()), 0)
            found.append([Part(only, translated[i].text)])
            continue
        owners = iter(owners_of_words(parts))
        stretches: list[Part] = []
        for sentence in translated[i].sentences:
            source_owners = [next(owners, len(parts) - 1) for _ in sentence.source.split()]
            stretches.append(Part(stretches[-1].number if stretches else 0, sentence.before))
            if sentence.source and sentence.text:
                words = sentence.text.split()
                owner = owners_of_translation(source_owners, len(words), *alignments[sentence.source, sentence.text])
                stretches += spaced(owner, words)
            stretches.append(Part(stretches[-1].number, sentence.after))
        found.append(joined(stretches))
    return found


def owners_of_words(parts: Sequence[str]) -> list[int]:
    """The part in which each word of the whole begins."""
    owners: list[int] = []
    in_word = False
    for number, part in enumerate(parts):
        for character in part:
            if not character.isspace() and not in_word:
                owners.append(number)
            in_word = not character.isspace()
    return owners


def owners_of_translation(
    source_owners: Sequence[int], words: int, pairs: Sequence[tuple[int, int]], weights: Any
) -> list[int]:
    """The part of each word of the translation.

    Args:
        source_owners: The part of each source word.
        words: How many there are in the translation.
        pairs: A source word and the word of the translation that comes from it.
        weights: float [U, W], how much each word of the translation looks at each source word.
    """
    of_word = {target: source_owners[source] for source, target in pairs if source < len(source_owners)}
    owners: list[int] = []
    for word in range(words):
        owners.append(of_word.get(word, owners[-1] if owners else source_owners[0]))
    held = Counter(owners)
    rows, columns = min(words, len(weights)), min(len(source_owners), weights.shape[1])
    for part in sorted(set(source_owners) - set(owners)):  # no word comes from it: the one that looks at it most does
        is_its = np.array(source_owners[:columns]) == part
        if not rows or not is_its.any():
            continue
        for word in np.argsort(-weights[:rows, :columns][:, is_its].sum(axis=1)):
            if held[owners[word]] > 1:
                held[owners[word]] -= 1
                owners[word] = part
                break
    return owners


def spaced(owners: Sequence[int], words: Sequence[str]) -> list[Part]:
    """The words with the spaces between them; a space between two parts belongs to the one before it."""
    return [
        Part(owner, word + " " * (i + 1 < len(words)))
        for i, (owner, word) in enumerate(zip(owners, words, strict=True))
    ]


def joined(stretches: Sequence[Part]) -> list[Part]:
    """Neighbours of one part as one."""
    runs = groupby((part for part in stretches if part.text), key=lambda part: part.number)
    return [Part(number, "".join(part.text for part in run)) for number, run in runs]
