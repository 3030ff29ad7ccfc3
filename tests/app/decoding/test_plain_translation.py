"""The plain translation agrees with the graph: the same warnings, choices, scores and texts."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.ctranslate2_graph import CTranslate2Graph
from keras_nmt.app.decoding.plain_translation import behind_tags
from keras_nmt.app.decoding.text.leading_tags import leads, tag_tables
from keras_nmt.app.decoding.text.output_checks import WARNINGS, find_warnings
from keras_nmt.app.decoding.text.plain_output_checks import Side, plain_warnings
from keras_nmt.app.models.loading import load_model
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

PARTS = (
    *("Tom", "house", "3", "7", "12", "1,000,000", "1.000.000", "1\u202f000", "2024", "x3", "(5)", "ja", "\uff13"),
    *(
        "https://a.example/b",
        "HTTP://A.example/b.",
        "www.x.de,",
        "“mail@b.example”",
        "@",
        "a@b",
        "é.f@g.h",
        "\u00a0",
        "\u2019",
    ),
)
words = st.lists(st.sampled_from(PARTS), max_size=9).map(" ".join)
ids = st.one_of(
    st.lists(st.integers(4, 9), max_size=30),
    st.tuples(st.lists(st.integers(4, 9), min_size=1, max_size=10), st.integers(1, 5)).map(lambda x: x[0] * x[1]),
)


def text_of(rank: int) -> tf.TensorSpec:
    return tf.TensorSpec([None] * rank, tf.string)


def ids_of(rank: int) -> tf.TensorSpec:
    return tf.TensorSpec([None] * rank, tf.int32)


traced_find_warnings = tf.function(
    find_warnings, input_signature=[text_of(1), ids_of(2), text_of(2), ids_of(3)], autograph=False
)


def in_graph(source: Side, translation: Side) -> tuple[bool, ...]:
    found = traced_find_warnings(
        tf.constant([source.text]),
        tf.constant([source.tokens], tf.int32),
        tf.constant([[translation.text]]),
        tf.constant([[[*translation.tokens, PAD, PAD]]], tf.int32),
    )
    return tuple(found.numpy()[0, 0].tolist())


@settings(max_examples=300, deadline=None)
@given(words, ids, words, ids)
def test_python_and_the_graph_find_the_same_warnings(text: str, own: list[int], other: str, its: list[int]) -> None:
    source, translation = Side(text, own), Side(other, its)
    assert plain_warnings(source, translation) == in_graph(source, translation)


@pytest.mark.parametrize(
    ("source", "translation", "warnings"),
    [
        (Side("a b c d", [4, 5, 6, 7]), Side("a b c d", [4, 5, 6, 7, 3]), ["copied"]),
        (Side("a b c", [4, 5, 6]), Side("a b c", [4, 5, 6, 3]), []),
        (Side("a", [4]), Side("b b b b b b b", [5] * 7), ["repetition"]),
        (Side("a", [4]), Side("b c d", list(range(5, 20))), ["length"]),
        (Side("in 2024", [4]), Side("in 2025", [5]), ["numbers"]),
        (Side("see a@b.c", [4]), Side("see", [5]), ["links"]),
        (Side("a b", list(range(4, 20))), Side("c", [20, 21, 22, 23, 24, 3]), ["length"]),
        (Side("a b", list(range(4, 20))), Side("c", [20, 21, 22, 23, 24, 25, 3]), []),
        (Side("a", [4]), Side("", [3]), ["empty"]),
        (Side("", []), Side("", [3]), []),
    ],
)
def test_each_kind_of_warning_is_found(source: Side, translation: Side, warnings: list[str]) -> None:
    found = plain_warnings(source, translation)
    assert [name for name, is_found in zip(WARNINGS, found, strict=True) if is_found] == warnings
    assert found == in_graph(source, translation)


def test_leading_tags_are_removed_as_in_the_graph() -> None:
    tables = tag_tables(["<pad>", "<unk>", "<s>", "</s>", "▁", "<2fr>", "<news>", "▁x", "y"])
    for row in ([4, 5, 4, 6, 4, 7, 5], [7, 5], [5], [4], [], [4, 4, 8], [6, 8, 6]):
        leading = leads(tf.constant([row], tf.int32), tables).numpy()[0]
        assert behind_tags(row, tables) == np.array(row)[~leading].tolist()


def test_single_sentences_are_translated_as_in_the_graph(engine: Any) -> None:
    texts = ["Where is the station?", "", "Is it 12 or 2024?", "  ", "“Naïve”, said the 猫 🙂 see www.a.example"]
    for beam_size in (1, 3):
        plain, graph = both(engine, texts, beam_size)
        assert plain.keys() == graph.keys()
        for name in ("translations", "warnings"):
            assert plain[name].tolist() == graph[name].tolist()
        for name in ("scores", "confidences"):
            np.testing.assert_allclose(plain[name], graph[name], rtol=1e-5)


def test_several_sentences_and_copied_text_are_translated_as_in_the_graph(engine: Any) -> None:
    texts = [
        "Where is the station? It is here! Is it?",
        "1. Yes.\n2. No.",
        "---",
        "See here. https://a.example/b Tom lives at 3.5.",
        "今天。明天。",
        "- Really? - No.",
    ]
    plain, graph = both(engine, texts, 2)
    for name in ("translations", "warnings"):
        assert plain[name].tolist() == graph[name].tolist()
    for name in ("scores", "confidences"):
        np.testing.assert_allclose(plain[name], graph[name], rtol=1e-5)
    assert plain["translations"][2] == b"---"
    assert plain["translations"][1].startswith(b"1. ")


def test_long_sentences_and_no_texts_go_through_the_graph(engine: Any) -> None:
    for texts in (["The dog sleeps " * 40, "Yes."], []):
        plain, graph = both(engine, texts, 2)
        assert plain["translations"].tolist() == graph["translations"].tolist()


@pytest.fixture(scope="module")
def engine(run: Path) -> CTranslate2Graph:
    return load_model(run, engine="ctranslate2").graph


def both(engine: Any, texts: list[str], beam_size: int) -> tuple[dict[str, np.ndarray], ...]:
    """Returns the outputs of the plain translation and of the graph."""
    plain = engine.signatures()["translate"]
    given = {"texts": tf.constant(texts, tf.string), "beam_size": tf.constant(beam_size)}
    given |= {
        "length_penalty": tf.constant(1.0),
        "max_extra_tokens": tf.constant(5),
        "no_repeat_ngram_size": tf.constant(0),
        "repetition_penalty": tf.constant(1.0),
    }
    results = (function(**given) for function in (plain, plain.fallback))
    return tuple({name: value.numpy() for name, value in found.items()} for found in results)
