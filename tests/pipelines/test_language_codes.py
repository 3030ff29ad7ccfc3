"""Language codes are found in any spelling, in names of files, JSON and TMX."""

import json
from pathlib import Path

import pytest

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.language_codes import match, spellings, standard
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from keras_nmt.pipelines.vocabulary.tags import Languages, is_tag


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("en-de", ("en", "de")),
        ("EN-DE", ("en", "de")),
        ("eng-deu", ("en", "de")),
        ("eng_Latn-deu_Latn", ("en", "de")),
        ("en-pt-BR", ("en", "pt-BR")),
        ("pt_BR-en", ("pt-BR", "en")),
        ("pt-BR-en", ("pt-BR", "en")),
        ("es-419-en", ("es-419", "en")),
        ("en-zh-Hans", ("en", "zh-Hans")),
        ("zh-Hans-zh-Hant", ("zh-Hans", "zh-Hant")),
        ("en-GB-en-US", ("en-GB", "en-US")),
        ("en-iw", ("en", "he")),
        ("src-tgt", ("src", "tgt")),
    ],
)
def test_a_pair_is_two_codes_in_standard_form(text: str, expected: tuple[str, str]) -> None:
    pair = LanguagePair.parse(text)
    assert (pair.source, pair.target) == expected
    assert LanguagePair.written(str(pair)) == pair


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("en", "expected a language pair such as en-de, got 'en'"),
        ("en-de-none", "expected a language pair such as en-de, got"),
        ("en-pt-br", "may be en and pt-br or en-pt and br; write regions with _, as in en-pt_BR"),
        ("en-eng", "a language pair needs two languages, got 'en' twice"),
    ],
)
def test_an_invalid_pair_is_reported(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message):
        LanguagePair.parse(text)


def test_a_pair_in_a_file_keeps_its_codes() -> None:
    assert LanguagePair.written("en-zh_CN") == LanguagePair("en", "zh_CN")


@pytest.mark.parametrize(
    ("wanted", "names", "found"),
    [
        ("zh-CN", ["en", "zh_cn"], "zh_cn"),
        ("de", ["eng", "deu"], "deu"),
        ("de", ["deu_Latn"], "deu_Latn"),
        ("en", ["en-US", "en"], "en"),
        ("en", ["de", "en-US"], "en-US"),
        ("pt-BR", ["pt-PT", "pt"], "pt"),
        ("pt-BR", ["pt-PT"], None),
        ("zh-Hans", ["zh-Hant"], None),
        ("de", ["tok.de", "nothing", ""], None),
        ("src", ["src", "tgt"], "src"),
    ],
)
def test_a_name_is_matched_in_any_spelling(wanted: str, names: list[str], found: str | None) -> None:
    assert match(wanted, names) == found


def test_an_invalid_code_is_unchanged() -> None:
    assert [standard(text) for text in ("zh_CN", "tok.de", "", "x")] == ["zh-CN", "tok.de", "", "x"]
    assert spellings("pt-BR") == ["pt-BR", "pt-br", "pt_BR", "pt_br", "por", "pt"]
    assert spellings("src") == ["src"]


SPELT = ["pt-BR", "pt_BR", "pt-br", "PT_BR", "por_BR", "pt"]


def pairs_of(spec: str, pair: LanguagePair) -> list[tuple[bytes, bytes]]:
    return [(raw.source, raw.target) for raw in open_corpus(spec, pair)]


EN_PT = LanguagePair("en", "pt-BR")


@pytest.mark.parametrize("code", SPELT)
def test_files_json_and_tmx_accept_any_spelling(tmp_path: Path, code: str) -> None:
    (tmp_path / "a.eng").write_text("One.\n")
    (tmp_path / f"a.{code}").write_text("Um.\n")
    (tmp_path / "a.jsonl").write_text(json.dumps({"translation": {"eng": "One.", code: "Um."}}) + "\n")
    units = "".join(
        f'<tuv xml:lang="{language}"><seg>{text}</seg></tuv>' for language, text in (("EN-GB", "One."), (code, "Um."))
    )
    (tmp_path / "a.tmx").write_text(f'<tmx version="1.4"><body><tu>{units}</tu></body></tmx>')
    for spec in (f"files:{tmp_path / 'a'}", f"files:{tmp_path}/*", f"jsonl:{tmp_path / 'a.jsonl'}"):
        assert pairs_of(spec, EN_PT) == [(b"One.", b"Um.")], spec
    assert pairs_of(f"tmx:{tmp_path / 'a.tmx'}", EN_PT) == [(b"One.", b"Um.")]


def test_an_equal_spelling_is_preferred(tmp_path: Path) -> None:
    for name, text in (("a.en", "One."), ("a.pt", "Um, em Portugal."), ("a.pt-BR", "Um.")):
        (tmp_path / name).write_text(text + "\n")
    assert pairs_of(f"files:{tmp_path / 'a'}", EN_PT) == [(b"One.", b"Um.")]


def test_one_file_cannot_be_both_sides(tmp_path: Path) -> None:
    (tmp_path / "a.en").write_text("One.\n")
    with pytest.raises(DataError, match=r"a\.en would be both sides; name the files by their languages"):
        open_corpus(f"files:{tmp_path / 'a'}", LanguagePair("en-GB", "en-US"))


def test_a_model_finds_its_languages_in_any_spelling() -> None:
    languages = Languages((LanguagePair("en", "zh_CN"), LanguagePair("en", "pt-BR")))
    assert languages.tags_of("zh-CN") == ("<2zh_CN>",)  # the spelling in its vocabulary
    assert languages.tags_of("pt_br") == languages.tags_of("por-BR") == ("<2pt-BR>",)
    assert all(map(is_tag, languages.tags))
    assert languages.find(LanguagePair.parse("eng-zho_CN")) == languages.pairs[0]
    assert languages.find(LanguagePair("de", "en")) is None
