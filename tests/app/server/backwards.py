"""A fake model that reverses the words of each sentence, in capitals, and knows their alignment."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from keras_nmt.app.server.documents import span_translation
from keras_nmt.app.server.documents.html.pages import read_html, write_html
from keras_nmt.app.server.documents.span_translation import translate_spans
from keras_nmt.app.server.documents.spans import Span
from keras_nmt.app.server.documents.word.files import read_word, write_word
from keras_nmt.app.server.engine.alignment import Alignment
from keras_nmt.app.server.engine.translation import Sentence, TranslatedText, split_sentences


def backwards(text: str) -> str:
    """Returns the words of a sentence in reverse order, in capitals; a mark at the end stays there."""
    end = text[-1:] if text[-1:] in ".!?" else ""
    return " ".join(reversed(text.upper().removesuffix(end).split())) + end


async def translate(batcher: Any, direction: Any, texts: list[str]) -> list[TranslatedText]:
    found = [split_sentences(text) for text in texts]
    return [
        TranslatedText(
            tuple(Sentence(s.source, backwards(s.source), before=s.before, after=s.after) for s in sentences)
        )
        for sentences in found
    ]


async def align_sentences(batcher: Any, direction: Any, sentences: list[tuple[str, str]]) -> list[Alignment]:
    lengths = [len(source.split()) for source, _ in sentences]
    return [Alignment([(n - 1 - i, i) for i in range(n)], np.eye(n)[::-1]) for n in lengths]


@contextmanager
def fake_model() -> Iterator[None]:
    with mock.patch.multiple(span_translation, translate=translate, align_sentences=align_sentences):
        yield


def translated_spans(texts: list[list[str]]) -> list[list[Span]]:
    none: Any = None
    with fake_model():
        return asyncio.run(translate_spans(none, none, texts))


def translated_html(page: str, *, attributes: bool = False) -> str:
    """Translates a page."""
    return write_html(page, attributes, translated_spans(read_html(page, attributes)))


def translated_word(content: bytes, *, attributes: bool = False) -> bytes:
    """Translates a Word document."""
    return write_word(content, attributes, translated_spans(read_word(content, attributes)))
