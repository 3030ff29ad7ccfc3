"""Only text that is certainly in another language is rejected, never text in a close relative."""

# ruff: noqa: RUF001

import pytest

from keras_nmt.pipelines.cleaning.language_identification import are_close_relatives, is_in_another_language

TEXTS = {
    "en": "The cat sits on the carpet and watches the rain fall on the roofs of the old town.",
    "fr": "Le chat est assis sur le tapis et regarde la pluie tomber sur les toits de la vieille ville.",
    "ru": "Кошка сидит на ковре и смотрит, как дождь падает на крыши старого города.",
    "ar": "تجلس القطة على السجادة وتشاهد المطر وهو يسقط على أسطح المدينة القديمة.",
    "hi": "बिल्ली कालीन पर बैठी है और पुराने शहर की छतों पर गिरती बारिश को देख रही है।",
    "zh": "猫坐在地毯上，看着雨落在老城的屋顶上，谁也不知道它在想什么，也没有人去问它。",
    "ja": "猫はじゅうたんの上に座って、古い町の屋根に降る雨を見ています。",
    "th": "แมวนั่งอยู่บนพรมและมองดูฝนตกลงบนหลังคาของเมืองเก่า",
}
NYNORSK = "Vi har ikkje høyrt noko frå dei sidan i går, og no er me redde for at dei ikkje kjem heim."
MALAY = "Kerajaan akan memberikan bantuan kepada semua mangsa banjir yang kehilangan tempat tinggal di negeri itu."
CROATIAN = "Predsjednik vlade je jučer rekao da će novi zakon stupiti na snagu početkom sljedeće godine."
CZECH = "Děti si hrají na zahradě a jejich rodiče se na ně dívají z okna starého domu."


@pytest.mark.parametrize("language", TEXTS)
def test_text_in_its_language_is_kept_and_any_other_is_rejected(language: str) -> None:
    assert not is_in_another_language(TEXTS[language], language)
    assert [other for other in TEXTS if other != language and not is_in_another_language(TEXTS[language], other)] == []


@pytest.mark.parametrize(("text", "languages"), [
    (NYNORSK, ["nn", "nb", "no", "nno", "nob"]),
    (MALAY, ["ms", "id", "msa", "zsm"]),
    (CZECH, ["cs", "sk", "ces", "cs_CZ"]),
    (TEXTS["ar"], ["ar", "arb", "arz", "ar-EG"]),
    (TEXTS["zh"], ["zh", "zh-Hans", "zh_TW", "cmn", "yue", "wuu"]),
    (CROATIAN, ["hr", "sr", "bs", "sr-Latn", "hrv"]),
])  # fmt: skip
def test_a_near_relative_is_never_the_wrong_language(text: str, languages: list[str]) -> None:
    assert [language for language in languages if is_in_another_language(text, language)] == []
    assert is_in_another_language(text, "en")


@pytest.mark.parametrize("language", ["tlh", "mi", "az-Cyrl", "und", "", "x-private", "src", "no such"])
def test_nothing_is_rejected_in_unknown_languages_and_scripts(language: str) -> None:
    assert not is_in_another_language(TEXTS["fr"], language)


def test_upper_case_is_identified_like_lower_case() -> None:
    title = "VŠEOBECNÁ DEKLARACE LIDSKÝCH PRÁV"
    assert not is_in_another_language(title, "cs")
    assert is_in_another_language(TEXTS["fr"].upper(), "en")


@pytest.mark.parametrize(("language", "other", "near"), [
    ("en-US", "en-GB", True),
    ("nb", "nn", True),
    ("zh-Hans", "zh-Hant", True),
    ("sr-Latn", "hr", True),
    ("en", "de", False),
    ("az-Latn", "az-Cyrl", False),  # equal text has not been transliterated
    ("cy", "en", False),  # readers of Welsh read English, but the languages are not related
    ("", "en", False),
    ("no such", "en", False),
])  # fmt: skip
def test_close_relatives(language: str, other: str, near: bool) -> None:
    assert are_close_relatives(language, other) == are_close_relatives(other, language) == near
