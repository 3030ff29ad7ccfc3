"""Splitting of texts into sentences, and joining of their translations."""

import asyncio
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from keras_nmt.app.server.engine.translation import (
    TranslatedText,
    respaced,
    split_sentences,
    stream,
    translate,
    words_with_confidence,
)
from keras_nmt.app.tasks.translation import Translation


class TableBatcher:
    """A fake batcher that looks translations up in a table."""

    max_per_request = 4

    def __init__(self, table: dict[str, str]) -> None:
        self.table = table

    async def run(self, version: Any, name: str, rows: list[dict[str, bytes]], settings: Any) -> list[dict[str, Any]]:
        return [
            {
                "translations": self.table[row["texts"].decode()].encode(),
                "scores": -1.0,
                "confidences": 0.5,
                "warnings": b"",
            }
            for row in rows
        ]


@pytest.mark.parametrize(
    ("text", "translations", "expected"),
    [
        ("好。不。 是。\n", ["Ja.", "Nein.", "So."], "Ja. Nein. So.\n"),  # German has spaces where Chinese has none
        ("Yes. No.  Oh.\nAh. ", ["好。", "不。", "是。", "不。"], "好。不。  是。\n不。 "),
        (" 1. Yes.\n2. No.", ["1. Ja.", "2. Nein."], " 1. Ja.\n2. Nein."),
        ("Dr. Yes came. No.", ["Dr. Ja kam.", ""], "Dr. Ja kam. "),
    ],
)
def test_the_space_between_sentences_follows_the_target_language(
    text: str, translations: list[str], expected: str
) -> None:
    sources = [sentence.source for sentence in split_sentences(text)]
    batcher: Any = TableBatcher(dict(zip(sources, translations, strict=True)))
    direction: Any = SimpleNamespace(version=None, task=Translation(), encoded=str.encode)
    (found,) = asyncio.run(translate(batcher, direction, [text]))
    assert found.text == expected

    async def streamed() -> dict[int, str]:
        every = stream(batcher, direction, text)
        return {number: one.before + one.text + one.after async for number, one in every}

    pieces = asyncio.run(streamed())
    assert "".join(pieces[number] for number in sorted(pieces)) == expected


def test_space_around_a_text_and_repeated_spaces_stay() -> None:
    sentences = [replace(one, text=one.source) for one in split_sentences("\n 好。  不。\t是。 ")]
    assert TranslatedText(tuple(respaced(sentences))).text == "\n 好。  不。\t是。 "
    assert respaced([]) == []


def test_the_words_of_a_sentence_translated_in_parts_have_confidences() -> None:
    pieces = [b"\xe2\x96\x81Ja", b",", b"</s>", b"\xe2\x96\x81wohl", b"</s>", b"", b""]
    words = words_with_confidence("Ja, wohl", pieces, [-1.0, -2.0, -0.1, -0.5, -0.1, 0.0, 0.0])
    assert [(word.text, word.confidence) for word in words] == [("Ja,", 0.1353), ("wohl", 0.6065)]
