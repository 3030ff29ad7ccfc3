"""Encoding and decoding in eager code, in the graph and in a SavedModel."""

from pathlib import Path

import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, UNK, Vocabulary, train_vocabulary
from keras_nmt.pipelines.vocabulary.training import train_model

ODD = [
    "😀 👩‍👩‍👧",
    "漢字かな",
    "a\x00b",
    "\x01\x02\x7f",
    "\u200b\u200d",
    "\ufffd",
    "▁ ▁",
    "½ ﬁ …",
    "<s> </s> <pad> <0x41>",
    "",
]


def sample_sentences(pairs: int = 300) -> list[str]:
    corpus = open_corpus("sample:tatoeba-en-de", LanguagePair("en", "de"), split="dev")
    return [side.decode() for pair in list(corpus)[:pairs] for side in pair[:2]]


def test_the_marks_come_first_then_the_bytes_then_the_pieces(vocabulary: Vocabulary) -> None:
    pieces = vocabulary.pieces()
    assert (PAD, UNK, BOS, EOS) == (0, 1, 2, 3)
    assert pieces[:6] == ["<pad>", "<unk>", "<s>", "</s>", "<0x00>", "<0x01>"]
    assert len(pieces) == vocabulary.size == 512
    assert "▁Tom" in pieces


def test_ids_contain_no_special_symbols_and_decode_to_the_text(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode(tf.constant(["Tom ist ein Mann.", ""]))
    assert ids.dtype == tf.int32
    assert ids.row_lengths().numpy().tolist()[1] == 0
    assert not np.isin(ids.values.numpy(), [PAD, UNK, BOS, EOS]).any()
    assert vocabulary.decode(ids.to_tensor()).numpy().tolist() == [b"Tom ist ein Mann.", b""]


def test_decoding_ends_at_the_first_end_and_ignores_padding_and_begin(vocabulary: Vocabulary) -> None:
    text = vocabulary.encode(tf.constant(["Tom is here."])).values.numpy().tolist()
    row = [BOS, PAD, *text, EOS, *text, EOS, PAD]
    empty = [EOS, *[PAD] * (len(row) - 1)]
    decoded = vocabulary.decode(tf.constant([row, empty], tf.int32))
    assert decoded.numpy().tolist() == [b"Tom is here.", b""]


def test_a_vocabulary_outlives_the_kernels_that_tensorflow_drops(vocabulary: Vocabulary) -> None:
    before = vocabulary.encode(tf.constant(["Tom is here."])).to_list()
    tf.random.set_seed(1)
    assert vocabulary.encode(tf.constant(["Tom is here."])).to_list() == before


def test_no_rows_decode_to_no_text(vocabulary: Vocabulary) -> None:
    assert vocabulary.decode(tf.zeros([0, 5], tf.int32)).shape == [0]
    assert vocabulary.decode(tf.zeros([2, 0], tf.int32)).numpy().tolist() == [b"", b""]


@pytest.mark.parametrize("text", ODD)
def test_nothing_is_unknown(vocabulary: Vocabulary, text: str) -> None:
    assert UNK not in vocabulary.encode(tf.constant([text])).values.numpy()


def test_malformed_bytes_are_read_as_replacement_characters(vocabulary: Vocabulary) -> None:
    ids = vocabulary.encode(tf.constant([b"a\xff\xc3 b"]))
    assert UNK not in ids.values.numpy()
    assert vocabulary.decode(ids.to_tensor()).numpy()[0].decode() == "a\ufffd\ufffd b"


@settings(deadline=None, max_examples=150)
@given(st.lists(st.one_of(st.text(), st.sampled_from(ODD)), min_size=1, max_size=5))
def test_decoding_what_was_encoded_gives_the_normalised_text(vocabulary: Vocabulary, texts: list[str]) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_proto=vocabulary.model)
    ids = vocabulary.encode(tf.constant(texts))
    normalised = [processor.normalize(text).replace("▁", " ").strip(" ") for text in texts]
    assert [text.decode() for text in vocabulary.decode(ids.to_tensor()).numpy()] == normalised
    assert ids.to_list() == processor.encode(texts)


def test_encoding_and_decoding_work_in_a_saved_model(vocabulary: Vocabulary, tmp_path: Path) -> None:
    module = tf.Module()
    module.vocabulary = vocabulary
    module.echo = tf.function(
        lambda texts: vocabulary.decode(vocabulary.encode(texts).to_tensor()),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )
    tf.saved_model.save(module, str(tmp_path / "saved"))
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    assert loaded.echo(tf.constant(["Tom  ist da. 😀"])).numpy()[0].decode() == "Tom ist da. 😀"


def test_the_same_sentences_give_the_same_vocabulary() -> None:
    sentences = sample_sentences()
    first, again, other = (train_vocabulary(part, 400) for part in (sentences, sentences, sentences[:200]))
    assert first.digest == again.digest != other.digest


def test_tags_are_pieces() -> None:
    tagged = Vocabulary(train_model(sample_sentences(), 400, tags=("<2de>", "<news>")))
    ids = tagged.encode(tf.constant(["<2de> <news> Tom ist da."]))
    pieces = [piece.decode() for piece in tagged.spell(ids).to_list()[0]]
    assert [piece for piece in pieces if "<" in piece] == ["▁<2de>", "▁<news>"]
    assert tagged.decode(ids.to_tensor()).numpy()[0].decode() == "<2de> <news> Tom ist da."


def test_training_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    train_vocabulary(sample_sentences(100), 400)
    assert capfd.readouterr() == ("", "")


def test_a_saved_vocabulary_is_loaded_unchanged(vocabulary: Vocabulary, tmp_path: Path) -> None:
    vocabulary.save(tmp_path / "v.model")
    loaded = Vocabulary.load(tmp_path / "v.model")
    assert (loaded.digest, loaded.size) == (vocabulary.digest, 512)


def test_a_missing_vocabulary_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot read the vocabulary .*none\.model: No such file"):
        Vocabulary.load(tmp_path / "none.model")


@pytest.mark.parametrize("damage", ["cut short", "something else", "empty"])
def test_a_damaged_vocabulary_is_reported(vocabulary: Vocabulary, tmp_path: Path, damage: str) -> None:
    contents = {"cut short": vocabulary.model[:-100], "something else": b"no model at all", "empty": b""}[damage]
    (tmp_path / "v.model").write_bytes(contents)
    with pytest.raises(DataError, match=r"v\.model is not a SentencePiece model or is damaged"):
        Vocabulary.load(tmp_path / "v.model")


def foreign_model(path: Path, **options: object) -> Path:
    with path.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(sample_sentences()), model_writer=file, vocab_size=400, minloglevel=2, **options
        )
    return path


def test_a_vocabulary_with_other_marks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"has pad, unk, bos, eos at \(-1, 0, 1, 2\), expected \(0, 1, 2, 3\)"):
        Vocabulary.load(foreign_model(tmp_path / "v.model"))


def test_a_vocabulary_without_bytes_is_refused(tmp_path: Path) -> None:
    marks = {"pad_id": PAD, "unk_id": UNK, "bos_id": BOS, "eos_id": EOS}
    with pytest.raises(DataError, match="has no byte fallback"):
        Vocabulary.load(foreign_model(tmp_path / "v.model", **marks))


def test_a_size_that_is_not_a_multiple_of_8_is_refused_with_the_next_multiple() -> None:
    with pytest.raises(DataError, match="vocabulary size 500 is not a multiple of 8; use --vocabulary-size 504"):
        train_vocabulary(["text"], 500)


def test_too_little_text_is_reported_with_a_possible_size() -> None:
    sentences = sample_sentences(20)
    with pytest.raises(DataError, match=r"too small for 8000 pieces; use --vocabulary-size \d+ or less") as caught:
        train_vocabulary(sentences, 8000)
    largest = int(str(caught.value).split("--vocabulary-size ")[1].split()[0])
    assert train_vocabulary(sentences, largest).size == largest


@pytest.mark.parametrize(("text", "size"), [("漢字かな交じり文abcdefghijk", 264), ("a b c", 64)])
def test_too_many_characters_are_reported_with_a_possible_size(text: str, size: int) -> None:
    with pytest.raises(DataError, match=rf"too many characters for {size} pieces; use --vocabulary-size \d+") as caught:
        train_vocabulary([text], size)
    least = int(str(caught.value).split("--vocabulary-size ")[1].split()[0])
    assert train_vocabulary([text] * 3, least).size == least


def test_a_vocabulary_of_no_text_is_reported() -> None:
    with pytest.raises(DataError, match="no text to train a vocabulary on"):
        train_vocabulary([], 264)


@settings(max_examples=100, deadline=None)
@given(text=st.text())
def test_outside_a_graph_the_vocabulary_is_the_same(vocabulary: Vocabulary, text: str) -> None:
    encodable = text.encode("utf-8", "replace").decode("utf-8")
    (ids,) = vocabulary.encode_in_python([encodable])
    assert ids == vocabulary.encode(tf.constant([encodable])).to_list()[0]
    (decoded,) = vocabulary.decode(tf.constant([ids], tf.int32)).numpy()
    assert vocabulary.decode_in_python([ids]) == [decoded.decode()]
