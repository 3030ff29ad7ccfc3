"""Encoding and decoding with two SentencePiece models and one table, compared with SentencePiece itself."""

from pathlib import Path

import pytest
import sentencepiece
import tensorflow as tf

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.loading import load_vocabulary
from keras_nmt.pipelines.vocabulary.marian import FILES, MarianVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, UNK
from tests.marian_model import write_tokenizer

CODE = ">>deu<<"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    write_tokenizer(folder, count=300, size=150, codes=[CODE])
    return folder


@pytest.fixture(scope="module")
def vocabulary(folder: Path) -> MarianVocabulary:
    return MarianVocabulary.of_files({name: (folder / name).read_bytes() for name in FILES})


def spelt(vocabulary: MarianVocabulary, text: str | bytes) -> list[str]:
    ids = vocabulary.encode(tf.constant([text]))
    return [piece.decode() for piece in vocabulary.spell(ids.to_tensor())[0].numpy()]


def test_each_language_is_segmented_by_its_own_model(folder: Path, vocabulary: MarianVocabulary) -> None:
    text = "They are here and sing."
    by_name = {
        name: sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{name}.spm")).encode(text, out_type=str)
        for name in ("source", "target")
    }
    assert by_name["source"] != by_name["target"]
    assert spelt(vocabulary, text) == by_name["source"]
    of_target = vocabulary.spell(vocabulary.encode_target(tf.constant([text])).to_tensor())
    assert [piece.decode() for piece in of_target[0].numpy()] == by_name["target"]


@pytest.mark.parametrize("text", [f"{CODE} She sings.", f"  {CODE}She sings."])
def test_a_language_code_at_the_start_is_one_token(text: str, vocabulary: MarianVocabulary) -> None:
    assert spelt(vocabulary, text) == [CODE, *spelt(vocabulary, "She sings.")]


@pytest.mark.parametrize("text", [">>xyz<< She sings.", f"She {CODE} sings.", "<pad> sings.", "</s>"])
def test_other_special_symbols_are_text(text: str, vocabulary: MarianVocabulary) -> None:
    ids = vocabulary.encode(tf.constant([text])).to_list()[0]
    assert ids
    assert not {PAD, BOS, EOS, vocabulary.pieces().index(CODE)} & set(ids)


def test_a_code_before_malformed_text_is_a_code(vocabulary: MarianVocabulary) -> None:
    assert spelt(vocabulary, b">>deu<< a\xff b")[0] == CODE


@pytest.mark.parametrize("text", ["", " \t ", CODE, f" {CODE}  "])
def test_a_text_without_words_has_no_tokens(text: str, vocabulary: MarianVocabulary) -> None:
    assert vocabulary.encode(tf.constant([text])).to_list() == [[]]


def test_a_character_that_no_model_knows_is_unknown(vocabulary: MarianVocabulary) -> None:
    assert vocabulary.encode(tf.constant(["猫"])).to_list()[0][-1] == UNK


def test_decoding_returns_the_text_up_to_the_end(vocabulary: MarianVocabulary) -> None:
    ids = vocabulary.encode_target(tf.constant(["Wir sind hier."])).to_list()[0]
    after = [BOS, *ids[:2], UNK, *ids[2:], EOS, *ids, PAD]
    assert vocabulary.decode(tf.constant([after])).numpy()[0].decode() == "Wir sind hier."


def test_ids_follow_the_table_except_for_the_first_four(vocabulary: MarianVocabulary) -> None:
    pieces, theirs = vocabulary.pieces(), vocabulary.marian_ids.tolist()
    last = vocabulary.size - 2
    assert (vocabulary.size, len(set(pieces))) == (len(pieces), len(pieces))
    assert theirs == [last, 1, last, 0, *range(2, last)]


def test_a_saved_vocabulary_loads_unchanged(vocabulary: MarianVocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path / "vocabulary.model")
    loaded = load_vocabulary(tmp_path / "vocabulary.model")
    assert isinstance(loaded, MarianVocabulary)
    assert (loaded.digest, loaded.pieces()) == (vocabulary.digest, vocabulary.pieces())


def test_a_damaged_file_is_refused(vocabulary: MarianVocabulary, tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.model"
    middle = len(vocabulary.model) // 2
    path.write_bytes(vocabulary.model[:middle] + b"damage" + vocabulary.model[middle + 6 :])
    with pytest.raises(DataError, match=r"is damaged .*; import the model again$"):
        load_vocabulary(path)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (b"[]", "vocab.json is not a table of pieces whose ids are 0, 1, 2, … each once"),
        (b'{"a": 0, "b": 0}', "vocab.json is not a table of pieces whose ids are 0, 1, 2, … each once"),
        (b'{"</s>": 0, "<unk>": 1}', "vocab.json has no <pad>"),
        (b"{", "vocab.json is not JSON: "),
    ],
)
def test_an_invalid_table_is_refused(table: bytes, message: str, folder: Path) -> None:
    files = {name: (folder / name).read_bytes() for name in FILES}
    with pytest.raises(DataError, match=f"^{message}"):
        MarianVocabulary.of_files({**files, "vocab.json": table})
