"""Vocabularies of words: one token for each word and each line end, and `<unk>` for words that are not in the list."""

from itertools import pairwise
from pathlib import Path

import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.vocabulary.tokenizer import PAD, UNK, Vocabulary
from keras_nmt.pipelines.vocabulary.training import check_model
from keras_nmt.pipelines.vocabulary.words import frequent_words, read_words, word_model

WORDS = ["the", ",", "cat", "``", "日本", "ä", "the-cat"]
LINE = 4  # the id of a line end
MODEL = word_model(WORDS)
CLEAN_TEXT = st.lists(st.lists(st.sampled_from(WORDS)).map(" ".join)).map("\n".join)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return Vocabulary(MODEL)


def test_each_word_and_each_line_end_is_one_token(vocabulary: Vocabulary) -> None:
    text = "the cat , dogs\n\nthe-cat The ca t"
    ids = vocabulary.encode_in_python([text])
    assert ids == [[5, 7, 6, UNK, LINE, LINE, 11, UNK, UNK, UNK]]
    assert vocabulary.encode(tf.constant([text])).to_list() == ids
    decoded = "the cat , <unk>\n\nthe-cat <unk> <unk> <unk>"
    assert vocabulary.decode_in_python(ids) == [decoded]
    assert vocabulary.decode(tf.constant(ids)).numpy()[0].decode() == decoded


def test_a_text_begins_with_an_unknown_word_as_with_a_known_one(vocabulary: Vocabulary) -> None:
    texts = ["dogs the", "the dogs", "\ndogs", "dogs", ""]
    ids = vocabulary.encode_in_python(texts)
    decoded = ["<unk> the", "the <unk>", "\n<unk>", "<unk>", ""]
    assert vocabulary.decode_in_python(ids) == decoded
    assert vocabulary.decode(tf.ragged.constant(ids).to_tensor(PAD)).numpy().tolist() == [
        one.encode() for one in decoded
    ]


@settings(max_examples=200, deadline=None)
@given(text=CLEAN_TEXT)
@example(text="\nthe\n\n\ncat\n")
@example(text="")
def test_text_of_known_words_is_decoded_as_it_was(text: str) -> None:
    processor = Vocabulary(MODEL).processor
    ids = processor.encode(text)
    assert UNK not in ids
    assert len(ids) == len(text.split()) + text.count("\n")
    assert processor.decode(ids) == text
    # What was written before stays as it is while a text grows.
    grown = [processor.decode(ids[:count]) for count in range(len(ids) + 1)]
    assert all(later.startswith(earlier) for earlier, later in pairwise(grown))


def test_other_whitespace_becomes_single_spaces(vocabulary: Vocabulary) -> None:
    texts = ["  the  cat \r\n\t, \u00a0the\u2581cat ", " \t "]
    assert vocabulary.decode_in_python(vocabulary.encode_in_python(texts)) == ["the cat\n, the cat", ""]
    assert vocabulary.encode(tf.constant(texts)).to_list() == vocabulary.encode_in_python(texts)


def test_the_sign_for_unknown_words_is_unknown_itself(vocabulary: Vocabulary) -> None:
    assert vocabulary.encode_in_python(["the <unk> cat"]) == [[5, UNK, 7]]
    assert frequent_words(["<unk> a"] * 4) == ["a"]


def test_frequent_words_come_first_and_rare_ones_are_left_out() -> None:
    texts = ["b a b\nb c", "b a a a", "c c d"]
    assert frequent_words(texts) == ["a", "b"]
    assert frequent_words(texts, 8) == ["a", "b", "c"]
    with pytest.raises(DataError, match="no word occurs 4 times or more; use more text, or give --vocabulary-size"):
        frequent_words(["a b"])
    with pytest.raises(DataError, match="4 pieces do not hold any word; use --vocabulary-size 8 or more"):
        frequent_words(texts, 4)


def test_a_list_of_words_is_read(tmp_path: Path) -> None:
    path = tmp_path / "words.txt"
    path.write_text("<unk>\nthe\n\n of \nthe\n")
    assert read_words(path) == ["the", "of"]
    for content, message in (
        ("the\nof the\n", r"words\.txt line 2 has 2 words; expected one word a line"),
        ("<unk>\n", r"words\.txt has no words; expected one word a line"),
        (b"\xff", r"cannot read the words of .*words\.txt: 'utf-8' codec"),
    ):
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        with pytest.raises(DataError, match=message):
            read_words(path)
    with pytest.raises(DataError, match=r"cannot read the words of .*none: No such file"):
        read_words(tmp_path / "none")


def test_the_model_is_one_of_this_program(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    check_model(MODEL, tmp_path)
    assert Vocabulary(MODEL).size == 16  # 4 marks, the line end, 7 words, and 4 pieces that occur in no text
    assert capfd.readouterr().err == ""
