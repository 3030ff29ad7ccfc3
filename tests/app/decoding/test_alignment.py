import keras
import numpy as np
import pytest
import tensorflow as tf

from app.decoding.alignment import align_words
from app.decoding.given_translations import Aligner
from app.decoding.options import DecodingOptions
from app.decoding.translation_graph import TranslationGraph
from layers import Transformer, TransformerConfig
from pipelines.vocabulary import Vocabulary
from tests.app.decoding.fakes import SENTENCES, CopyingTransformer, small_vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


def test_a_word_is_aligned_to_the_one_that_its_tokens_look_at_most() -> None:
    source_words, target_words = tf.constant([[0, 1, 1, -1]]), tf.constant([[0, 0, 1, -1]])
    weights = tf.constant([[[0.4, 0.3, 0.3, 0.0], [0.5, 0.1, 0.1, 0.3], [0.1, 0.1, 0.0, 0.8], [0.0, 0.0, 0.0, 1.0]]])
    found = align_words(weights, source_words, target_words)
    np.testing.assert_allclose(found.weights, [[[0.45, 0.4], [0.1, 0.1]]], rtol=1e-6)
    assert found.alignments.numpy().tolist() == [b"0-0 0-1"]


def test_a_copy_is_aligned_word_for_word(vocabulary: Vocabulary) -> None:
    graph = TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, DecodingOptions())
    lines = [*SENTENCES, "Übung 東京 🙂", "", "eight"]
    for company in ({}, {"batch_tokens": 20}, {"window_lines": 2}):
        found = list(Aligner(graph.signatures(), **company).align_lines(zip(lines, lines, strict=True)))
        assert found == [" ".join(f"{i}-{i}" for i in range(len(line.split()))) for line in lines]


def test_nothing_is_aligned_with_an_empty_side(vocabulary: Vocabulary) -> None:
    graph = TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, DecodingOptions())
    pairs = [("", "A dog."), ("A dog.", ""), ("", "")]
    aligner = Aligner(graph.signatures())
    assert list(aligner.align_lines(pairs)) == [""] * 3
    assert [next(aligner.align_lines([pair])) for pair in pairs] == [""] * 3


def test_each_word_shares_out_its_attention_and_what_follows_changes_nothing(vocabulary: Vocabulary) -> None:
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
    assert np.all((shares > 0.3) & (shares < 1.0))  # the rest is for the end of the source
    shorter = graph.align(texts[:1], tf.constant(["Die Katze"])).weights.numpy()
    np.testing.assert_allclose(shorter[0], weights[0, :2], rtol=1e-4)
