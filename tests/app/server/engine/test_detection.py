"""Comparison of language codes, and identification of the language of a text."""

import time

import pytest

from keras_nmt.app.server.engine.languages import (
    base_of,
    detect,
    distance,
    language_name,
    pair_distance,
    source_of,
    standard,
    text_of_html,
)


@pytest.mark.parametrize(
    ("asked", "served"),
    [
        ("eng", "en"), ("en", "eng"), ("EN", "en"), ("ger", "de"), ("deu", "de"), ("iw", "he"), ("he", "iw"),
        ("zh_CN", "zh"), ("zh", "zh_CN"), ("cmn", "zh"), ("zho", "zh-Hans"), ("pt-BR", "pt_BR"), ("nb", "no"),
        ("fil", "tl"),
    ],
)  # fmt: skip
def test_different_codes_of_one_language_are_near(asked: str, served: str) -> None:
    assert distance(asked, served) in (0, 1, 2)
    assert pair_distance((asked, "fr"), (served, "fr")) == distance(asked, served)


def test_another_region_is_farther_and_another_language_or_script_has_no_distance() -> None:
    assert distance("pt-BR", "pt_BR") == 0
    apart = [distance("pt-BR", served) or 0 for served in ("pt-BR", "pt", "pt-PT")]
    assert apart == sorted(set(apart))
    for asked, served in (("en", "de"), ("zh-TW", "zh"), ("sr-Latn", "sr"), ("hr", "bs"), ("", "en"), ("a b", "en")):
        assert distance(asked, served) is None
    assert pair_distance(("en", "fr"), ("en", "de")) is None


def test_unknown_codes_stay_as_they_are() -> None:
    for code in ("", "a b", "xx"):
        assert standard(code) == base_of(code) == language_name(code) == code


def test_codes_in_any_notation_have_a_name() -> None:
    codes = ("eng", "iw", "pt_BR", "zh_CN", "es-419", "zh-Hant")
    assert [language_name(code) for code in codes] == [
        "English", "Hebrew", "Portuguese (Brazil)", "Chinese (Simplified, China)", "Spanish (Latin America)",
        "Chinese (Traditional)",
    ]  # fmt: skip
    assert [base_of(code) for code in codes] == ["en", "he", "pt", "zh", "es", "zh"]


@pytest.mark.parametrize("text", ["", " ", "---", "123", "🙂"])
def test_a_text_without_letters_has_confidence_0(text: str) -> None:
    assert source_of(text, {"en"}) == ("en", 0.0)
    assert detect(text, {"en", "de"}) == [("de", 0.0)]


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("今天天气很好。", "zh"), ("La tua password non è corretta", "it"), ("Привет", "sr"), ("שלום", "he"),
        ("Willkommen auf unserer Seite", "de"),
    ],
)  # fmt: skip
def test_a_text_in_a_language_that_is_not_served_is_identified(text: str, code: str) -> None:
    assert source_of(text, {"en"}).language == code
    assert detect(text, {"en"})[0].language == code
    assert detect(text, {"en"})[-1] == ("en", 0.0)
    assert source_of(text, {"en", "bo"}).language in ("en", "bo")  # the identifier does not know bo


@pytest.mark.parametrize("text", ["Good morning.", "Hi", "Edit", "password", "Paris", "Hug me.", "stomachache"])
def test_short_texts_are_identified_as_a_served_language(text: str) -> None:
    assert source_of(text, {"en"}).language == "en"


def test_an_identified_language_has_its_served_code() -> None:
    for text, served in (
        ("今天天气很好。", "zh_CN"), ("Hei på deg, hvordan går det?", "nb"), ("Good morning, how are you?", "eng"),
        ("מה שלומך היום?", "iw"), ("Obrigado pela ajuda", "pt-BR"),
    ):  # fmt: skip
        found = source_of(text, {served, "fr"})
        assert (found.language, found.confidence > 90) == (served, True)


def test_only_visible_text_of_html_is_read() -> None:
    html = "<style>p {}</style><!-- a --><p title='b'>Über<br>uns &amp; <code>c</code>euch</p><script>d</script>"
    assert text_of_html(html).split() == ["Über", "uns", "&", "euch"]
    for empty in ("", " ", "<!-- a -->", "\0", "<"):
        assert text_of_html(empty).strip("< \0�") == ""


@pytest.mark.parametrize("part", ["<a ", "<!--", "<", "<a b='", "<div>", "&#", "</a"])
def test_no_html_takes_long_to_read(part: str) -> None:
    begun = time.perf_counter()
    text_of_html(part * (50_000 // len(part)))
    assert time.perf_counter() - begun < 2
