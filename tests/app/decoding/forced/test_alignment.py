from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.forced.alignment import Words, align_words, attention_of
from keras_nmt.app.decoding.given_translations import Aligner
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.layers import Transformer, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary
from tests.app.decoding.fakes import SENTENCES, CopyingTransformer, small_vocabulary, untraced_signatures


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


def test_a_word_is_aligned_with_the_one_that_its_tokens_attend_to_most() -> None:
    source_words, target_words = [[0, 1, 1, -1]], [[0, 0, 1, -1]]
    weights = tf.constant([[[0.4, 0.3, 0.3, 0.0], [0.5, 0.1, 0.1, 0.3], [0.1, 0.1, 0.0, 0.8], [0.0, 0.0, 0.0, 1.0]]])
    one, none = tf.constant([1]), tf.constant([0])
    sides = [Words(tf.constant(numbers), one + 1, first=none, copied=none) for numbers in (source_words, target_words)]
    found = align_words(attention_of(weights, *sides, none, tf.constant([1, 2, 2])))
    np.testing.assert_allclose(found.weights, [[[0.45, 0.4], [0.1, 0.1]]], rtol=1e-6)
    assert found.alignments.numpy().tolist() == [b"0-0 0-1"]


def test_a_copy_is_aligned_word_for_word(vocabulary: Vocabulary) -> None:
    graph = TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, DecodingOptions())
    lines = [*SENTENCES, "Übung 東京 🙂", "", "eight"]
    for company in ({}, {"batch_tokens": 20}, {"window_lines": 2}):
        found = list(Aligner(untraced_signatures(graph), **company).align_lines(zip(lines, lines, strict=True)))
        assert found == [" ".join(f"{i}-{i}" for i in range(len(line.split()))) for line in lines]


def test_sentences_are_aligned_separately(vocabulary: Vocabulary) -> None:
    class Straying(CopyingTransformer):
        """Attends to the last token of the source piece."""

        def cross_weights(self, target: tf.Tensor, *, cross: Any, may_attend_source: tf.Tensor) -> tf.Tensor:
            last = tf.math.count_nonzero(may_attend_source, axis=1) - 2  # before EOS
            rows = tf.one_hot(last, tf.shape(cross[0])[1])[:, tf.newaxis]
            return tf.repeat(rows, tf.shape(target)[1], axis=1)[:, tf.newaxis]

    graph = TranslationGraph(Straying(vocabulary.size), vocabulary, DecodingOptions())
    lines = [
        ("The cat sat. A dog barks.", "Die Katze saß. Ein Hund bellt.", "2-0 2-1 2-2 5-3 5-4 5-5"),
        ("1. The cat. 2. A dog.", "1. Die Katze. 2. Ein Hund.", "0-0 2-1 2-2 3-3 5-4 5-5"),
        ("Yes. --- No.", "Ja. --- Nein.", "0-0 1-1 2-2"),
        ("The cat sat. Yes. A dog.", "Die Katze saß. Ein Hund.", "2-0 2-1 2-2 5-3 5-4"),
        ("A dog. The cat sat.", "Ein Hund. Ja. Die Katze saß.", "1-0 1-1 4-2 4-3 4-4 4-5"),
        ("好。不。 是。", "Ja. Nein. Ja.", "0-0 0-1 1-2"),
        ("a@b.example", "a@b.example", "0-0"),
        ("", "", ""),
    ]
    texts, targets, expected = zip(*lines, strict=True)
    found = list(Aligner(untraced_signatures(graph)).align_lines(zip(texts, targets, strict=True)))
    assert found == list(expected)


def test_nothing_is_aligned_with_an_empty_side(vocabulary: Vocabulary) -> None:
    graph = TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, DecodingOptions())
    pairs = [("", "A dog."), ("A dog.", ""), ("", "")]
    aligner = Aligner(untraced_signatures(graph))
    assert list(aligner.align_lines(pairs)) == [""] * 3
    assert [next(aligner.align_lines([pair])) for pair in pairs] == [""] * 3


def test_attention_of_a_word_sums_to_less_than_one_and_ignores_later_words(vocabulary: Vocabulary) -> None:
    keras.utils.set_random_seed(2)
    transformer = Transformer(TransformerConfig(vocabulary.size, 12, 20, 3, encoder_layers=1, decoder_layers=3))
    transformer.build()
    graph = TranslationGraph(transformer, vocabulary, DecodingOptions())
    texts, targets = tf.constant(["A dog barks at night", "The cat"]), tf.constant(["Die Katze saß", "Übung"])
    weights = graph.align(texts, targets).weights.numpy()
    assert weights.shape == (2, 3, 5)
    assert np.all(weights[1, 1:] == 0)
    assert np.all(weights[1, :, 2:] == 0)
    shares = weights.sum(axis=2)[[0, 0, 0, 1], [0, 1, 2, 0]]
    assert np.all((shares > 0.3) & (shares < 1.0))  # the rest goes to the end of the source
    shorter = graph.align(texts[:1], tf.constant(["Die Katze"])).weights.numpy()
    np.testing.assert_allclose(shorter[0], weights[0, :2], rtol=1e-4)
