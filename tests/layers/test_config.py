"""The checks of a configuration and their messages."""

import re
from dataclasses import asdict, replace
from typing import Any

import pytest

from keras_nmt.layers import TransformerConfig

PAPER_BASE = TransformerConfig(vocabulary_size=37_000)


def test_the_defaults_are_the_papers_base_model() -> None:
    assert asdict(PAPER_BASE) == {
        "vocabulary_size": 37_000,
        "model_width": 512,
        "inner_width": 2048,
        "heads": 8,
        "encoder_layers": 6,
        "decoder_layers": 6,
        "normalization": "post",
        "residual_dropout": 0.1,
        "attention_dropout": 0.0,
        "inner_dropout": 0.0,
        "activation": "relu",
        "attention_bias": False,
        "logits_bias": False,
        "normalization_epsilon": 1e-6,
        "word_token": 0,
        "word_tags": 0,
        "copying": False,
    }


@pytest.mark.parametrize("name", ["vocabulary_size", "model_width", "inner_width", "heads", "decoder_layers"])
@pytest.mark.parametrize("value", [0, -3])
def test_a_size_below_one_is_refused(name: str, value: int) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be at least 1$"):
        replace(PAPER_BASE, **{name: value})


def test_a_model_may_have_no_encoder_layers_but_not_fewer() -> None:
    assert replace(PAPER_BASE, encoder_layers=0).encoder_layers == 0
    with pytest.raises(ValueError, match=r"^encoder_layers is -1; it must be at least 0$"):
        replace(PAPER_BASE, encoder_layers=-1)


def test_a_width_that_is_no_multiple_of_the_heads_is_refused_with_the_nearest_multiple() -> None:
    message = "model width 510 is not a multiple of 8 heads; use 512 or change heads in [model]"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(PAPER_BASE, model_width=510)


@pytest.mark.parametrize(
    ("width", "heads"),
    [
        (510, 8),
        (17, 3),
        (5, 7),
        (10, 3),
        (4, 3),
    ],
)
def test_the_width_that_a_refusal_suggests_is_accepted(width: int, heads: int) -> None:
    with pytest.raises(ValueError, match="is not a multiple of") as refusal:
        replace(PAPER_BASE, model_width=width, heads=heads)
    suggested = re.search(r"use (\d+)", str(refusal.value))
    assert suggested
    assert replace(PAPER_BASE, model_width=int(suggested[1]), heads=heads).model_width > 0


def test_an_odd_width_is_refused() -> None:
    message = "model width 15 is odd; sinusoidal positions come in pairs, use an even width"
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(PAPER_BASE, model_width=15, heads=5)


def test_an_unknown_normalization_is_refused() -> None:
    message = 'normalization is "both"; it is "post" (the paper) or "pre"'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(PAPER_BASE, normalization="both")


def test_an_unknown_activation_is_refused() -> None:
    message = 'activation is "gelu"; it is "relu" (the paper) or "swish"'
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        replace(PAPER_BASE, activation="gelu")


@pytest.mark.parametrize("value", [0.0, -1e-6, 1.0, float("nan")])
def test_an_epsilon_outside_of_zero_to_one_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match=f"^normalization_epsilon is {value}; it must be between 0 and 1$"):
        replace(PAPER_BASE, normalization_epsilon=value)


@pytest.mark.parametrize("name", ["residual_dropout", "attention_dropout", "inner_dropout"])
@pytest.mark.parametrize("value", [-0.1, 1, 1.5, float("nan")])
def test_a_dropout_rate_outside_of_zero_to_one_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^{name} is {value}; it must be at least 0 and less than 1$"):
        replace(PAPER_BASE, **{name: value})


@pytest.mark.parametrize("value", [-1, 37_000])
def test_a_word_token_outside_the_vocabulary_is_refused(value: int) -> None:
    message = f"word_token is {value}; it must be the id of a piece, less than 37000, or 0"
    with pytest.raises(ValueError, match=f"^{message}$"):
        replace(PAPER_BASE, word_token=value)
    assert replace(PAPER_BASE, word_token=36_999).word_token == 36_999


@pytest.mark.parametrize(("word_token", "word_tags", "most"), [(0, 1, 0), (36_990, 10, 9), (5, -1, 36_994)])
def test_the_tags_of_words_are_pieces_after_the_word(word_token: int, word_tags: int, most: int) -> None:
    message = f"word_tags is {word_tags}; with word_token {word_token}, at most {most}"
    with pytest.raises(ValueError, match=f"^{message}$"):
        replace(PAPER_BASE, word_token=word_token, word_tags=word_tags)
    assert replace(PAPER_BASE, word_token=word_token, word_tags=most).word_tags == most
