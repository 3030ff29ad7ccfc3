"""A model that says the words of each sentence in the other order, in capitals, and knows which comes from which."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import numpy as np

from app.server.documents import marked_text
from app.server.documents.marked_text import translate_parts
from app.server.documents.markup import read_html, write_html
from app.server.documents.parts import Part
from app.server.documents.word_files import read_word, write_word
from app.server.engine.translation import Sentence, TranslatedText, sentences_of


def backwards(text: str) -> str:
    """The words of a sentence in the other order; a mark at its end stays there."""
    end = text[-1:] if text[-1:] in ".!?" else ""
    return " ".join(reversed(text.upper().removesuffix(end).split())) + end


async def translate(batcher: Any, direction: Any, texts: list[str]) -> list[TranslatedText]:
    found = [sentences_of(text) for text in texts]
    return [
        TranslatedText(
            tuple(Sentence(s.source, backwards(s.source), before=s.before, after=s.after) for s in sentences)
        )
        for sentences in found
    ]


async def aligned(batcher: Any, direction: Any, pairs: list[tuple[str, str]]) -> list[Any]:
    lengths = [len(source.split()) for source, _ in pairs]
    return [([(n - 1 - i, i) for i in range(n)], np.eye(n)[::-1]) for n in lengths]


@contextmanager
def speaking_backwards() -> Iterator[None]:
    with mock.patch.multiple(marked_text, translate=translate, aligned=aligned):
        yield


def parts_of(texts: list[list[str]]) -> list[list[Part]]:
    none: Any = None
    with speaking_backwards():
        return asyncio.run(translate_parts(none, none, texts))


def html(page: str, *, attributes: bool = False) -> str:
    """A page, translated."""
    return write_html(page, attributes, parts_of(read_html(page, attributes)))


def word(content: bytes, *, attributes: bool = False) -> bytes:
    """A Word document, translated."""
    return write_word(content, attributes, parts_of(read_word(content, attributes)))
