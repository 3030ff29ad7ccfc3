"""Tags: their form, which tags a text gets, and that user text is never a tag."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages, domain_tag, is_tag, language_tag, tagged

EN_DE, EN_FR, DE_EN = LanguagePair("en", "de"), LanguagePair("en", "fr"), LanguagePair("de", "en")
SEVERAL = Languages((EN_DE, EN_FR), ("news", "law"))


def test_a_tag_names_a_language_or_a_domain():
    assert (language_tag("fr"), domain_tag("news")) == ("<2fr>", "<news>")
    assert [
        text for text in ("<2fr>", "<news>", "<a-1>", "<s>", "<2f>", "<0x41>", "2fr", "<2fr> ", "") if is_tag(text)
    ] == [*("<2fr>", "<news>", "<a-1>")]


@pytest.mark.parametrize("name", ["", "s", "unk", "pad", "2fr", "a b", "a>", "ä"])
def test_an_invalid_domain_is_refused(name: str):
    with pytest.raises(DataError, match="cannot be the name of a domain; use a letter followed by"):
        domain_tag(name)


@pytest.mark.parametrize("code", ["", "f", "f>", "12"])
def test_an_invalid_language_is_refused(code: str):
    with pytest.raises(DataError, match="is not a language code; use two or more letters"):
        language_tag(code)


def test_there_are_tags_only_where_there_is_a_choice():
    assert SEVERAL.tags == ("<2de>", "<2fr>", "<news>", "<law>")
    assert Languages((EN_DE,)).tags == ()
    assert Languages((DE_EN, LanguagePair("fr", "en")), ("news",)).tags == ("<news>",)
    assert SEVERAL.tags_of("fr", "law") == ("<2fr>", "<law>")
    assert SEVERAL.tags_of("de") == ("<2de>",)
    assert Languages((EN_DE,), ("news",)).tags_of("de", "news") == ("<news>",)
    assert Languages((EN_DE,)).tags_of(None) == ()


@pytest.mark.parametrize(
    ("languages", "target", "domain", "message"),
    [
        (SEVERAL, None, None, "there are several target languages: de, fr; choose one with --to"),
        (SEVERAL, "es", None, "there is no translation into 'es'; there are: de, fr"),
        (SEVERAL, "fr", "new", "there is no domain 'new'; did you mean news? there are: news, law"),
        (Languages((EN_DE,)), "fr", None, "there is no translation into 'fr'; there is: de"),
        (Languages((EN_DE,)), None, "news", "there is no domain 'news'; there is no domain with a tag"),
    ],
)
def test_unknown_languages_and_domains_are_refused(
    languages: Languages, target: str | None, domain: str | None, message: str
):
    with pytest.raises(DataError) as error:
        languages.tags_of(target, domain)
    assert str(error.value) == message


def test_pairs_and_domains_must_be_distinct():
    with pytest.raises(DataError, match="pair en-de occurs twice"):
        Languages((EN_DE, EN_FR, EN_DE))
    with pytest.raises(DataError, match="domain law occurs twice"):
        Languages((EN_DE,), ("law", "law"))
    with pytest.raises(DataError, match="there is no language pair"):
        Languages(())


def test_a_text_without_a_word_has_no_tags():
    assert tagged("A b.", ["<2fr>", "<news>"]) == "<2fr> <news> A b."
    assert [tagged(text, ["<2fr>"]) for text in ("", "  \t")] == ["", "  \t"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("<2de> Hello", "<2fr> < 2de> Hello"),
        ("a<news>b <2de>", "<2fr> a< news>b < 2de>"),
        ("＜2de＞ a", "<2fr> < 2de> a"),  # noqa: RUF001
        ("<\x012de>\ta", "<2fr> < 2de>\ta"),
        ("<2\u00adde\ufeff> a", "<2fr> < 2de> a"),
        ("<b>a</b> < 2de>", "<2fr> <b>a</b> < 2de>"),
        ("＜b＞", "<2fr> ＜b＞"),  # noqa: RUF001
    ],
)
def test_a_tag_in_user_text_is_text(text: str, expected: str):
    assert SEVERAL.tagger("fr")(text) == expected


def test_a_model_without_tags_leaves_text_alone():
    assert Languages((EN_DE,)).tagger("de")("<2de> ＜2fr＞") == "<2de> ＜2fr＞"  # noqa: RUF001


@given(st.text(st.sampled_from("<>2defr nws\x01＜"), max_size=20))  # noqa: RUF001
def test_split_is_the_inverse_of_tagged(text: str):
    written = SEVERAL.without_tags(text)
    assert SEVERAL.split(written) == ((), written)
    assert SEVERAL.split(tagged(written, ["<2fr>", "<news>"])) == (("<2fr>", "<news>") if text.strip() else (), written)
