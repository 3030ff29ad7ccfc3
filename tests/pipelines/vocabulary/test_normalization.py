"""Normalisation keeps the characters that each script needs."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sentencepiece import SentencePieceProcessor

from keras_nmt.app.cli import main
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.options import PreparationOptions
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.normalization import NORMALIZATIONS, nfc_rules
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary
from keras_nmt.pipelines.vocabulary.training import train_model

SCRIPTS = {
    "Persian, with joiners": "من می‌خواهم به کتاب‌خانه بروم.",
    "Telugu": "నాకు ఫేస్‌బుక్ కావాలి",
    "Kannada": "ಫೇಸ್‌ಬುಕ್ ಇದೆ",
    "Sinhala": "ශ්‍රී ලංකාව",
    "Malayalam": "അവന്‍ വന്നു, അവൻ പോയി",
    "Bengali, both spellings": "নিয়ে নিয\u09bcে",
    "Hindi, both spellings": "क\u093cलम \u0958लम",
    "Lao, with zero-width spaces": "ໂຮງ\u200bຮຽນ\u200bຢູ່\u200bນີ້",
    "Khmer": "ខ្ញុំ\u200bចង់\u200bបាន\u200bទឹក។",
    "Burmese": "ကျွန်တော် ရေလိုချင်တယ်။",
    "Thai": "น้ำแข็ง ๒๕๖๗",
    "Tibetan": "བཀྲ་ཤིས་བདེ་ལེགས།",
    "Chinese": "你好，世界！（真的？）１２３",  # noqa: RUF001
    "Japanese": "ﾊﾝｶｸ と、全角（ＡＢＣ）〜です。神\ufa19",  # noqa: RUF001
    "Korean": "안녕하세요, 세계!",
    "Armenian": "ես և դու, ﬓ",
    "Arabic, presentation forms": "صلى الله عليه وسلم ﷺ ﻻ",
    "Hebrew, with direction marks": "המחיר \u200e5%\u200f עלה ל\u05be״שלום״",
    "Vietnamese": "Tôi muốn uống nước được không?",
    "Greek": "Ὦ ἄνδρες Ἀθηναῖοι, τί ἐστιν ᾗ;",
    "Amharic": "ሰላም፡ ዓለም።",
    "Georgian": "გამარჯობა, მსოფლიო!",
    "signs": "m² ½ № 5 ™ … ﬁ ① 5 Å \u212b 👩‍👩‍👧 ❤️",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_text_in_any_script_survives_encoding_and_decoding(vocabulary: Vocabulary, script: str) -> None:
    text = SCRIPTS[script]
    assert vocabulary.decode_in_python(vocabulary.encode_in_python([text])) == [text]


COMPOSED = sorted({after for after in nfc_rules().values() if len(after) == 1 and after != " "})


@settings(max_examples=300, deadline=None)
@given(text=st.text(st.sampled_from(COMPOSED), min_size=1, max_size=6), form=st.sampled_from(["NFC", "NFD"]))
def test_a_letter_with_marks_is_composed(vocabulary: Vocabulary, text: str, form: str) -> None:
    composed, other = unicodedata.normalize("NFC", text), unicodedata.normalize(form, text)
    if composed == text:  # the letters may be composed with each other
        assert vocabulary.processor.normalize(other) == vocabulary.processor.normalize(text)


@pytest.mark.parametrize("spelling", ["e\u0323\u0302", "e\u0302\u0323", "\u00ea\u0323", "\u1eb9\u0302"])
def test_marks_may_come_in_any_order(vocabulary: Vocabulary, spelling: str) -> None:
    assert vocabulary.processor.normalize(spelling) == vocabulary.processor.normalize("\u1ec7")


def test_a_syllable_may_be_spelt_in_letters(vocabulary: Vocabulary) -> None:
    spelt = ["\u1112\u1161\u11ab\u1100\u116e\u11a8", "\ud558\u11ab\uad6c\u11a8"]
    assert [vocabulary.processor.normalize(text)[1:] for text in spelt] == ["\ud55c\uad6d"] * 2


def test_spaces_of_any_width_are_spaces_and_noise_is_left_out(vocabulary: Vocabulary) -> None:
    text = "a\u00a0b\u202fc\u3000d\u2028e\x85f\tg Sil\u00adbe \ufeffx\x01\x7f\x9dy"
    assert vocabulary.decode_in_python(vocabulary.encode_in_python([text])) == ["a b c d e f g Silbe xy"]


def test_a_vocabulary_may_have_another_normalisation() -> None:
    text = "u\u0308 ½ ａ"  # noqa: RUF001
    expected = {"nfc": "ü ½ ａ", "identity": text, "nfkc": "ü 1\u20442 a", "nmt_nfkc": "ü 1\u20442 a"}  # noqa: RUF001
    found = {}
    for normalization in NORMALIZATIONS:
        model = train_model(["a text", "another", "b"] * 20, 272, normalization=normalization)
        processor = SentencePieceProcessor(model_proto=model)
        found[normalization] = processor.decode(processor.encode(text))
    assert found == expected


def test_the_normalisation_of_a_preparation_is_that_of_its_vocabulary(tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("".join(f"the ½ text {i}\tder ½ Text {i}\n" for i in range(50)), encoding="utf-8")
    corpus = f"tsv:{tmp_path / 'a.tsv'}"
    command = ["prepare", "--pair", "en-de", "--corpus", corpus, "--dev", corpus, "--vocabulary-size", "280"]
    skipped = ["--skip-filter", "held_out", "near_duplicate", "--workers", "1", "--out"]
    assert main([*command, *skipped, str(tmp_path / "own")]) == 0
    assert main([*command, "--normalization", "nfkc", *skipped, str(tmp_path / "nfkc")]) == 0
    models = [SentencePieceProcessor(model_file=str(tmp_path / name / "vocabulary.model")) for name in ("own", "nfkc")]
    assert [model.normalize("½") for model in models] == ["▁½", "▁1\u20442"]


def test_a_given_vocabulary_keeps_its_normalisation(tmp_path: Path) -> None:
    options = {"pair": LanguagePair("en", "de"), "corpora": ("a",), "dev": ("b",), "out": tmp_path}
    with pytest.raises(DataError, match=r"v\.model has its own normalisation; leave out --normalization"):
        PreparationOptions(**options, vocabulary=Path("v.model"), normalization="nfc")
    with pytest.raises(DataError, match="normalization is one of nfc, identity, nfkc, nmt_nfkc, got 'nfd'"):
        PreparationOptions(**options, normalization="nfd")
    assert PreparationOptions(**options).recorded()["normalization"] == "nfc"
    assert PreparationOptions(**options, vocabulary=Path("v.model")).recorded()["normalization"] is None
