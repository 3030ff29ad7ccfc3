"""Translates texts that consist of spans: translates the whole text, aligns the words, and projects the spans."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

import numpy as np

from keras_nmt.app.server.documents.spanned_text import SpannedText
from keras_nmt.app.server.documents.spans import Span
from keras_nmt.app.server.engine.alignment import Alignment, align_sentences
from keras_nmt.app.server.engine.batching import Batcher
from keras_nmt.app.server.engine.translation import Sentence, TranslatedText, translate
from keras_nmt.app.server.engine.versions import Direction

NO_ALIGNMENT = Alignment([], np.zeros((0, 0), np.float32))


async def translate_spans(batcher: Batcher, direction: Direction, texts: Sequence[Sequence[str]]) -> list[list[Span]]:
    """Translates texts that consist of spans, which are stretches with the same formatting.

    Every source span with letters has a word in the translation if the translation has enough words. A placeholder,
    which is an empty span such as a picture, appears exactly once in the translation. A span of white space or of marks
    for which `is_droppable` is true may be missing.

    Args:
        batcher: Batcher that runs the signatures.
        direction: Model version and language pair.
        texts: Source spans of each text.

    Returns:
        The spans of each translation, in the order of `texts`.
    """
    sources = [SpannedText(spans) for spans in texts]
    translated = await translate(batcher, direction, [source.text for source in sources])
    pairs = {
        (sentence.source, sentence.text): None
        for source, text in zip(sources, translated, strict=True)
        for begin, end, sentence in located_sentences(source.text, text)
        if sentence.text and not source.is_uniform(begin, end)
    }
    found = await align_sentences(batcher, direction, list(pairs)) if pairs else []
    return await asyncio.to_thread(place_translations, sources, translated, dict(zip(pairs, found, strict=True)))


def located_sentences(text: str, translated: TranslatedText) -> Iterator[tuple[int, int, Sentence]]:
    """Yields a triple for each sentence that has text: its begin and its end (exclusive) in `text`, and the sentence.

    Args:
        text: The source text.
        translated: The sentences of the source text, with translations.
    """
    at = 0
    for sentence in translated.sentences:
        if sentence.source:
            begin = text.index(sentence.source, at)
            at = begin + len(sentence.source)
            yield begin, at, sentence


def place_translations(
    sources: Sequence[SpannedText],
    translated: Sequence[TranslatedText],
    alignments: Mapping[tuple[str, str], Alignment],
) -> list[list[Span]]:
    """Returns the spans of each translated text.

    Args:
        sources: The source texts.
        translated: The translated sentences of each source text.
        alignments: Alignment of each pair of a sentence and its translation. A sentence that lies in one span needs no
            alignment.
    """
    found = []
    for source, text in zip(sources, translated, strict=True):
        spans: list[Span] = []
        at, space = 0, None
        for begin, end, sentence in located_sentences(source.text, text):
            spans += source.between(at, begin, space)
            if source.is_uniform(begin, end):
                spans += source.place_uniform(begin, end, sentence.text)
            else:
                alignment = alignments.get((sentence.source, sentence.text), NO_ALIGNMENT)
                spans += source.place(begin, end, sentence.text, *alignment)
            at, space = end, sentence.after
        spans += [*source.between(at, len(source.text), None), *source.trailing_placeholders()]
        found.append(merge_neighbours(spans))
    return found


def merge_neighbours(spans: Sequence[Span]) -> list[Span]:
    """Merges neighbouring spans that have the same `number`."""
    return [
        Span(number, "".join(span.text for span in run)) for number, run in groupby(spans, lambda span: span.number)
    ]
