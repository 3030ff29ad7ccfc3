"""Each source span is in the translation, at its words."""

# ruff: noqa: RUF001  # marks of many scripts look alike

import asyncio
import time
from collections.abc import Sequence
from itertools import groupby
from typing import Any
from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keras_nmt.app.server.documents import span_translation
from keras_nmt.app.server.documents.projection.words import split_in_proportion
from keras_nmt.app.server.documents.span_translation import translate_spans
from keras_nmt.app.server.documents.spanned_text import SpannedText
from keras_nmt.app.server.documents.spans import Protected
from keras_nmt.app.server.documents.tokens import tokens_of
from keras_nmt.app.server.engine.alignment import Alignment
from keras_nmt.app.server.engine.translation import Sentence, TranslatedText
from tests.app.server.backwards import translated_spans

NO_BREAK = "\N{NO-BREAK SPACE}"


def placed(spans: Sequence[str], translation: str, order: str = "", weights: Any = None) -> str:
    """Places a translation and returns it with the number of each span before its text.

    Args:
        spans: Source spans.
        translation: Translation of the whole text.
        order: Number of the source word for each target word, separated by spaces; "" is the same order.
        weights: Attention weights; None follows `order`.
    """
    source = SpannedText(spans)
    words, of_source = len(translation.split()), len(source.text.split())
    links = [*map(int, order.split())] if order else [min(i, of_source - 1) for i in range(words)]
    found = source.place(
        0,
        len(source.text),
        translation,
        [(link, i) for i, link in enumerate(links)],
        np.eye(of_source)[links] if weights is None else weights,
    )
    runs = groupby([*found, *source.trailing_placeholders()], lambda part: part.number)
    return "".join(f"<{number}>{''.join(part.text for part in run)}" for number, run in runs)


@pytest.mark.parametrize(
    ("spans", "translation", "order", "expected"),
    [
        (["See the house (", "here", ")."], "Sieh das Haus (hier).", "", "<0>Sieh das Haus (<1>hier<2>)."),
        (['Tom likes "', "Boston", '" much.'], "Tom mag „Boston“ sehr.", "", "<0>Tom mag „<1>Boston<2>“ sehr."),
        (["Tom", "[1]", " is old."], "Tom[1] ist alt.", "", "<0>Tom<1>[1] <2>ist alt."),
        (["Tom", "[1]", " is old."], "Tom ist alt.", "", "<0>Tom<1>[1]<0> <2>ist alt."),
        (["Write to:", "Tom"], "Schreib an: Tom", "0 0 0", "<0>Schreib an: <1>Tom"),
        (["Tom is here", "!"], "Tom ist hier!", "", "<0>Tom ist hier<1>!"),
        (["Tom is here", "!"], "Tom ist hier.", "", "<0>Tom ist hier<1>."),
        (["Tom is here", "!"], "Tom ist hier", "", "<0>Tom ist hier<1>!"),
        (["Tom", ",", " who is here"], "Tom der hier ist", "0 1 3 2", "<0>Tom <2>der hier ist"),
        (["He plays (", "it", ")"], "Er spielt es.", "", "<0>Er spielt <1>es."),
        (["Tom is here", "*"], "Tom ist hier.", "", "<0>Tom ist hier<1>*<0>."),
        (["He has ", "big", " dogs."], "Er hat Hunde, große.", "0 1 3 2", "<0>Er hat <2>Hunde, <1>große<2>."),
        (["O", "nce upon a time"], "Es war einmal", "0 1 3", "<0>E<1>s war einmal"),
        (["H", "2", "O is water."], "H2O ist Wasser.", "", "<0>H<1>2<2>O ist Wasser."),
        (["He reads ", "«War»", "."], "Er liest ‚Krieg‘.", "", "<0>Er liest <1>‚Krieg‘<2>."),
        (["看(", "这里", ")。"], "看（这里）。", "", "<0>看（<1>这里<2>）。"),
        (["Good ", "morning"], "Hallo", "0", "<0>Hallo"),
        (["a ", "b", " c"], "x y z", "0 0 0", "<0>x <1>y <2>z"),
        (["Press ", Protected("Ctrl"), " now."], "Drück jetzt Strg.", "0 2 1", "<0>Drück <2>jetzt <1>Ctrl<2>."),
        (["Press ", Protected("A b"), " now."], "Jetzt a b drücken.", "3 0 0 1", "<2>Jetzt <1>A b<2> <0>drücken<2>."),
        (["Press ", Protected("Ctrl"), " now."], "Drück.", "0", "<0>Drück <1>Ctrl<2>."),
        (["Tom ", "", "lives", "", " here."], "Hier lebt Tom.", "2 1 0", "<4>Hier <1><2>lebt<3><2> <0>Tom<4>."),
        (["Tom", "", " is old."], "Alt ist Tom.", "2 1 0", "<2>Alt ist <0>Tom<1><2>."),
        (["Tom is old.", ""], "Tom ist alt.", "", "<0>Tom ist alt.<1>"),
        (["a ", "", " b"], "A B", "", "<0>A <1><0> <2>B"),
        ([f"10{NO_BREAK}km are ", "far", "."], "10 km sind weit.", "", f"<0>10{NO_BREAK}km sind <1>weit<2>."),
        (["a ", "", "b"], "", "", "<1>"),
    ],
)
def test_spans_stay_at_their_words(spans: list[str], translation: str, order: str, expected: str) -> None:
    assert placed(spans, translation, order) == expected


def test_a_span_without_a_word_gets_the_word_with_the_most_attention_to_it() -> None:
    weights = np.array([[0.9, 0.1, 0.0], [0.5, 0.4, 0.1], [0.8, 0.0, 0.2]])
    assert placed(["a ", "b", " c"], "x y z", "0 0 0", weights) == "<0>x <1>y <2>z"
    assert placed(["a ", "b", " c"], "x y z", "0 0 0", np.zeros((0, 3))) == "<0>x <1>y <2>z"


def test_names_and_numbers_are_linked_by_their_spelling() -> None:
    assert placed(["He met ", "Tom Smith", " in 1990."], "1990 traf er Tom Smith.", "0 0 0 0 0") == (
        "<2>1990 <0>traf er <1>Tom Smith<2>."
    )


def test_text_between_sentences_stays_there() -> None:
    texts = [
        ["We go. ", "", "They", " are.\n\n", "", "All go"],
        ["We go.", "", " All go."],
        ["", " a", " "],
        [Protected("x"), " goes. We go."],
    ]
    found = translated_spans(texts)
    assert found[0] == [
        (0, "GO WE. "), (3, "ARE "), (1, ""), (2, "THEY"), (3, ".\n\n"), (4, ""), (5, "GO ALL")
    ]  # fmt: skip
    assert found[1] == [(0, "GO WE."), (1, ""), (2, " GO ALL.")]
    assert found[2] == [(0, ""), (1, " A"), (2, " ")]
    assert found[3] == [(1, "GOES "), (0, "x"), (1, ". GO WE.")]


def test_the_space_between_sentences_comes_from_the_translation() -> None:
    async def translate(_: Any, __: Any, texts: list[str]) -> list[TranslatedText]:
        return [
            TranslatedText((Sentence("We go.", "我们走。"), Sentence("They go.", "他们走。", after="\n")))
            for _ in texts
        ]

    none: Any = None
    with mock.patch.object(span_translation, "translate", translate):
        (found,) = asyncio.run(translate_spans(none, none, [["We go.", "", " They go.\n"]]))
    assert found == [(0, "我们走。"), (1, ""), (2, "他们走。\n")]


def test_only_sentences_with_several_spans_are_aligned() -> None:
    asked = []

    async def translate(_: Any, __: Any, texts: list[str]) -> list[TranslatedText]:
        return [TranslatedText((Sentence("a b.", "A B.", after=" "), Sentence("c d.", "C D."))) for _ in texts]

    async def align_sentences(_: Any, __: Any, pairs: list[tuple[str, str]]) -> list[Alignment]:
        asked.append(pairs)
        return [Alignment([(0, 0), (1, 1)], np.eye(2)) for _ in pairs]

    none: Any = None
    with mock.patch.multiple(span_translation, translate=translate, align_sentences=align_sentences):
        (found,) = asyncio.run(translate_spans(none, none, [["a b. c ", "d", "."]]))
    assert asked == [[("c d.", "C D.")]]
    assert found == [(0, "A B. C "), (1, "D"), (2, ".")]


@pytest.mark.parametrize(
    ("text", "lengths", "fragments"),
    [
        ("abcd", [1, 3], ["a", "bcd"]),
        ("a", [1, 3], ["", "a"]),
        ("abc", [9, 1, 1], ["a", "b", "c"]),
        ("n\N{COMBINING TILDE}o", [1, 1, 1], ["n\N{COMBINING TILDE}", "o", ""]),
        ("abc", [5], ["abc"]),
    ],
)
def test_a_word_is_split_in_proportion_to_its_source(text: str, lengths: list[int], fragments: list[str]) -> None:
    assert split_in_proportion(text, lengths) == fragments


def test_tokens_are_words_and_marks() -> None:
    assert [token.text for token in tokens_of("“Don’t (re-)do” हिन्दी, می‌خواهم 1.5!")] == [
        "“", "Don’t", "(", "re", "-", ")", "do", "”", "हिन्दी", ",", "می‌خواهم", "1", ".", "5", "!"
    ]  # fmt: skip
    assert [token.word for token in tokens_of("a (b) c")] == [0, 1, 1, 1, 2]


def test_the_time_for_spans_grows_linearly() -> None:
    count = 2000
    begun = time.process_time()
    short = " ".join(["x"] * 50)
    for spans in (
        ["a ", "b "] * (count // 2),
        ["a ", ""] * (count // 2),
        ["(", "a) "] * (count // 2),
        ["1 ", "a "] * (count // 2),
        [Protected("a"), " "] * 500 + ["b"],
    ):
        placed(spans, short, " ".join(["0"] * 50))
        placed(spans, short, " ".join(["0"] * 50), np.zeros((0, count)))
        placed(spans, " ".join(["x"] * count), " ".join(["0"] * count), np.zeros((0, count)))
    assert time.process_time() - begun < 10


SPANS = st.lists(
    st.text("ab1(). '\N{NO-BREAK SPACE}", max_size=4) | st.sampled_from([Protected("x y"), Protected("b")]), min_size=1
)


@given(spans=SPANS, words=st.lists(st.text("abxy1().", min_size=1, max_size=4), max_size=6), data=st.data())
def test_no_span_is_lost_or_repeated(spans: list[str], words: list[str], data: st.DataObject) -> None:
    source = SpannedText(spans)
    count = len(source.text.split())
    assume(count and any(part and not isinstance(part, Protected) for part in spans))
    links = data.draw(st.lists(st.integers(0, count - 1), min_size=len(words), max_size=len(words)))
    begin, end = len(source.text) - len(source.text.lstrip()), len(source.text.rstrip())
    pairs = [(link, i) for i, link in enumerate(links)]
    found = source.between(0, begin, None)
    if words and source.is_uniform(begin, end):
        found += source.place_uniform(begin, end, " ".join(words))
    else:
        found += source.place(begin, end, " ".join(words), pairs, np.eye(count)[links])
    found += [*source.between(end, len(source.text), None), *source.trailing_placeholders()]
    once = [number for number, part in enumerate(spans) if not part or isinstance(part, Protected)]
    assert sorted(number for number, _ in found if number in once) == once
    assert all(text == spans[number] for number, text in found if number in once)
    if not any(isinstance(part, Protected) for part in spans):
        said = "".join("".join(text for _, text in found).split())
        rest = iter(said)
        assert all(letter in rest for letter in "".join(words))
