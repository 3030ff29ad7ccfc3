"""Vocabularies of language models: text is decoded to exactly what was encoded."""

from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.exact import exact_model, most_frequent_characters
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD, Vocabulary
from keras_nmt.pipelines.vocabulary.training import check_model, train_model

LINES = ["First Citizen:", "Before we proceed any further, hear me speak.", "All:", "Speak,  speak.", "ä 日本 \t x"]
SIGN = "\u2581"  # SentencePiece's sign for a space
# Neither NUL, which no text contains, nor surrogates, which UTF-8 cannot encode.
TEXT = st.text(
    st.one_of(st.sampled_from(" \n\t\r abeFirst:.<>/s|0x日é😀"), st.characters(exclude_characters="\0", codec="utf-8"))
)

KINDS = {
    "pieces": train_model(LINES * 20, 296, normalization="identity", keeps_whitespace=True),
    "pieces without a space": train_model(
        ["日本語文の話です", "語る日本人と言う国", "話の国で人が語る"] * 50,
        280,
        normalization="nfc",
        keeps_whitespace=True,
    ),
    "characters": exact_model(most_frequent_characters(LINES)),
    "bytes": exact_model(()),
}


@pytest.fixture(scope="module", params=KINDS)
def vocabulary(request: pytest.FixtureRequest) -> Vocabulary:
    return Vocabulary(KINDS[request.param])


@settings(max_examples=200, deadline=None)
@given(text=TEXT)
@example(text="  two  spaces \n\n\ttab\r\n end ")
@example(text="<s> </s> <unk> <pad> <0x41>")
@example(text=" ")
@example(text="")
def test_every_text_is_decoded_as_it_was(text: str) -> None:
    for kind, model in KINDS.items():
        if kind == "pieces without a space":
            continue  # it normalises
        known = text.replace(SIGN, " ") if kind == "pieces" else text
        processor = Vocabulary(model).processor
        assert processor.decode(processor.encode(known)) == known, kind


def test_whitespace_survives_in_the_graph_too(vocabulary: Vocabulary) -> None:
    texts = ["  two  spaces \n\n\ttab\n end ", "日\n本", " ", "\n", "<s> <unk> <0x41>", "First\u00adCitizen"[:5]]
    ids = vocabulary.encode(tf.constant(texts))
    assert ids.to_list() == vocabulary.encode_in_python(texts)
    assert [text.decode() for text in vocabulary.decode(ids.to_tensor()).numpy()] == texts
    assert vocabulary.decode_in_python(ids.to_list()) == texts


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_printed_when_a_model_is_loaded(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    vocabulary = Vocabulary(KINDS[kind])
    assert vocabulary.decode_in_python(vocabulary.encode_in_python(["日 本"])) == ["日 本"]
    assert capfd.readouterr().err == ""


def test_the_sign_for_a_space_is_spelt_in_bytes() -> None:
    for kind in ("characters", "bytes"):
        vocabulary = Vocabulary(exact_model(most_frequent_characters([f"a{SIGN} b"] if kind == "characters" else ())))
        ids = vocabulary.encode(tf.constant([f"a{SIGN} b"]))
        assert vocabulary.decode(ids.to_tensor()).numpy()[0].decode() == f"a{SIGN} b"


def test_line_breaks_and_tabs_survive_a_normalisation() -> None:
    vocabulary = Vocabulary(KINDS["pieces without a space"])
    assert vocabulary.decode_in_python(vocabulary.encode_in_python(["u\u0308\n\t\x01 x"])) == ["ü\n\t x"]


def test_each_character_of_the_text_is_one_token() -> None:
    vocabulary = Vocabulary(KINDS["characters"])
    text = "First\n日\t"
    spelt = vocabulary.spell(vocabulary.encode(tf.constant([text])).to_tensor()).numpy()[0].tolist()
    assert spelt == [*(character.encode() for character in "First"), b"<0x0A>", "日".encode(), b"\t"]


def test_each_byte_is_one_token() -> None:
    vocabulary = Vocabulary(KINDS["bytes"])
    assert vocabulary.encode_in_python(["é\n"]) == [[4 + 0xC3, 4 + 0xA9, 4 + 0x0A]]
    assert vocabulary.size == 264  # 4 marks and 256 bytes, and 4 pieces that occur in no text
    assert vocabulary.decode_in_python([[4 + 65, 263, PAD]]) == ["A"]


def test_the_most_frequent_characters_come_first_and_fill_a_given_size() -> None:
    assert most_frequent_characters(["cab", "b\n", f"a{SIGN}"]) == ["a", "b", "\n", "c"]
    assert most_frequent_characters(["cab", "b\n", "a"], 262) == ["a", "b"]
    with pytest.raises(DataError, match="260 pieces do not hold 256 bytes and characters; use --vocabulary-size 264"):
        most_frequent_characters(["a"], 260)


def test_the_models_are_models_of_this_program(tmp_path: Path) -> None:
    for model in KINDS.values():
        check_model(model, tmp_path)
        assert Vocabulary(model).size % 8 == 0
        assert Vocabulary(model).processor.eos_id() == EOS
