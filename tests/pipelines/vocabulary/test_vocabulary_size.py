"""Possible vocabulary sizes, and the errors if there is none."""

import pytest
import sentencepiece

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.corpora import LanguagePair, open_corpus
from keras_nmt.pipelines.vocabulary import size as vocabulary_size
from keras_nmt.pipelines.vocabulary.size import train_feasible_model
from keras_nmt.pipelines.vocabulary.training import train_model

SIZES = (None, 64, 264, 272, 280, 8000)


def pieces(sentences: list[str], size: int | None) -> int:
    model = train_feasible_model(lambda size: train_model(sentences, size), size, characters=sum(map(len, sentences)))
    return int(sentencepiece.SentencePieceProcessor(model_proto=model).get_piece_size())


def sample(pairs: int) -> list[str]:
    corpus = open_corpus("sample:tatoeba-en-de", LanguagePair("en", "de"), split="dev")
    return [side.decode() for pair in list(corpus)[:pairs] for side in pair[:2]]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("sentences", [["Yes.", "Ja."], ["a"], ["The quick brown fox jumps over it."] * 20])
def test_text_too_small_for_any_size_is_reported_for_every_size(sentences: list[str], size: int | None) -> None:
    with pytest.raises(DataError, match=r"too small for a vocabulary of any size: .*; give more text$"):
        pieces(sentences, size)


@pytest.mark.parametrize("size", [64, 264, 8000])
def test_the_suggested_size_is_possible(size: int) -> None:
    sentences = sample(20)
    with pytest.raises(DataError, match=r"use --vocabulary-size \d+") as caught:
        pieces(sentences, size)
    named = int(str(caught.value).split("--vocabulary-size ")[1].split()[0])
    assert pieces(sentences, named) == named


def test_the_default_size_is_as_large_as_the_text_allows() -> None:
    sentences = sample(20)
    with pytest.raises(DataError) as caught:
        pieces(sentences, 32_000)
    assert f"use --vocabulary-size {pieces(sentences, None)} or less" in str(caught.value)


def test_enough_text_gets_the_usual_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vocabulary_size, "USUAL_SIZE", 400)
    assert pieces(sample(300), None) == 400


def test_a_larger_size_is_not_tried_on_much_text() -> None:
    tried = []

    def train(size: int) -> bytes:
        tried.append(size)
        return train_model(sample(20), size)

    with pytest.raises(DataError, match="too many characters for 64 pieces"):
        train_feasible_model(train, 64, characters=10**9)
    assert tried == [64]


@pytest.mark.parametrize("sentences", [[], [""], [" "]])
def test_empty_text_is_reported(sentences: list[str]) -> None:
    with pytest.raises(DataError, match="there is no text to train a vocabulary on"):
        pieces(sentences, None)
