"""Text in parts that look different, such as bold words: which part each word of the translation belongs to.

The whole text is translated, and each word takes the part of the source word that it comes from, by the alignment.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from app.server.documents.parts import Part
from app.server.documents.placing import Source
from app.server.engine.batching import Batcher
from app.server.engine.translation import Sentence, TranslatedText, aligned, translate
from app.server.engine.versions import Direction

Alignment = tuple[list[tuple[int, int]], Any]


async def translate_parts(batcher: Batcher, direction: Direction, texts: Sequence[Sequence[str]]) -> list[list[Part]]:
    """Translates texts, each given in its parts, which are put together without a space.

    Every part of the source that has a word has one in the translation, as long as there are words enough; a part that
    has none is there as it was, with its text or without one.
    """
    sources = [Source(parts) for parts in texts]
    translated = await translate(batcher, direction, [source.text for source in sources])
    pairs = {
        (sentence.source, sentence.text): None
        for source, text in zip(sources, translated, strict=True)
        for begin, end, sentence in places_of(source.text, text)
        if sentence.text and not source.is_plain(begin, end)
    }
    found = await aligned(batcher, direction, list(pairs)) if pairs else []
    return await asyncio.to_thread(placed, sources, translated, dict(zip(pairs, found, strict=True)))


def places_of(text: str, translated: TranslatedText) -> Iterator[tuple[int, int, Sentence]]:
    """Where each sentence that is not empty begins and ends in the text, and its translation."""
    at = 0
    for sentence in translated.sentences:
        if sentence.source:
            begin = text.index(sentence.source, at)
            at = begin + len(sentence.source)
            yield begin, at, sentence


def placed(
    sources: Sequence[Source], translated: Sequence[TranslatedText], alignments: Mapping[tuple[str, str], Alignment]
) -> list[list[Part]]:
    """The translations in parts."""
    found = []
    for source, text in zip(sources, translated, strict=True):
        parts: list[Part] = []
        at, space = 0, None
        for begin, end, sentence in places_of(source.text, text):
            parts += source.between(at, begin, space)
            if source.is_plain(begin, end):
                parts += source.plain(begin, end, sentence.text)
            else:
                alignment = alignments.get((sentence.source, sentence.text), ([], ()))
                parts += source.placed(begin, end, sentence.text, *alignment)
            at, space = end, sentence.after
        found.append(joined([*parts, *source.between(at, len(source.text), None), *source.rest()]))
    return found


def joined(parts: Sequence[Part]) -> list[Part]:
    """Neighbours of one part as one."""
    return [
        Part(number, "".join(part.text for part in run)) for number, run in groupby(parts, lambda part: part.number)
    ]
