"""Text is cut so that the SentencePiece trainer reads all of it."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.vocabulary.training import train_model
from keras_nmt.pipelines.vocabulary.training_text import LONGEST_LINE_BYTES, RESERVED, trainer_lines


def test_short_sentences_are_unchanged() -> None:
    assert list(trainer_lines(["one two", "", "drei \u00e4" * 500])) == ["one two", "", "drei \u00e4" * 500]


def test_a_long_sentence_is_cut_at_spaces() -> None:
    (first, second) = trainer_lines([" ".join(["word"] * 1000)])
    assert first + " " + second == " ".join(["word"] * 1000)
    assert set(f"{first} {second}".split(" ")) == {"word"}


@settings(deadline=None, max_examples=30)
@given(st.text(st.sampled_from("a\u00e9\u6f22\U0001f600 "), min_size=900), st.integers(1, 9))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, times: int) -> None:
    parts = list(trainer_lines([text * times]))
    assert "".join(parts).replace(" ", "") == (text * times).replace(" ", "")
    assert all(len(part.encode()) <= LONGEST_LINE_BYTES for part in parts)


@pytest.mark.parametrize("between", ["", " "])
def test_a_vocabulary_is_learnt_from_lines_of_any_length(between: str) -> None:
    words = ["haus", "maus", "laus", "baum", "saum", "raum"] * 1500
    assert len(train_model([between.join(words)], 272)) > 1000


def test_the_reserved_character_of_the_trainer_is_replaced() -> None:
    assert len(train_model([f"ab {RESERVED} ba abba"], 264)) > 1000
