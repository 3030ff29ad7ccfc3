from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.forced.explanation import Explanation
from keras_nmt.app.decoding.network.ensemble import Ensemble
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.layers import Transformer, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, Vocabulary
from tests.app.decoding.fakes import SENTENCES, small_vocabulary

Explain = Callable[[tf.Tensor], Explanation]
OPTIONS = DecodingOptions(beam_size=3, max_source_tokens=20, max_extra_tokens=8)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def graph(vocabulary: Vocabulary) -> TranslationGraph:
    keras.utils.set_random_seed(5)
    config = TransformerConfig(
        vocabulary.size, model_width=12, inner_width=20, heads=3, encoder_layers=1, decoder_layers=2
    )
    transformer = Transformer(config)
    transformer.build()
    return TranslationGraph(transformer, vocabulary, OPTIONS)


@pytest.fixture(scope="module")
def explain(graph: TranslationGraph) -> Explain:
    """The signature, traced once for all tests."""
    signature = graph.signatures()["explain"]
    return lambda text: Explanation(**signature(text=text))


def test_the_explanation_shows_the_search_of_the_graph(
    graph: TranslationGraph, explain: Explain, vocabulary: Vocabulary
) -> None:
    text = tf.constant("A dog barks.")
    shown = explain(text)
    found = graph.search(vocabulary.encode(text[tf.newaxis]), 1)
    assert (
        shown.target_pieces.numpy().tolist()
        == vocabulary.spell(found.tokens[0, 0, : found.lengths[0, 0]]).numpy().tolist()
    )
    beams = OPTIONS.beam_size
    log_probabilities = shown.candidate_log_probabilities.numpy()
    assert log_probabilities.shape == shown.candidate_texts.shape == shown.candidate_pieces.shape
    assert log_probabilities.shape[1] == 2 * beams
    assert np.all(log_probabilities[:, 1:] <= log_probabilities[:, :-1])
    ends = [
        log_probabilities[u, c]
        for u, pieces in enumerate(shown.candidate_pieces.numpy())
        for c, piece in enumerate(pieces)
        if piece == b"</s>"
    ]
    assert float(found.log_probabilities[0, 0]) in [pytest.approx(end, rel=1e-5) for end in ends]


def test_attention_is_shown_for_each_piece(graph: TranslationGraph, explain: Explain, vocabulary: Vocabulary) -> None:
    shown = explain(tf.constant("The cat sat."))
    source, target = len(shown.source_pieces), len(shown.target_pieces)
    config = graph.transformer.config
    shapes = {
        "encoder_attention": (config.encoder_layers, 3, source, source),
        "decoder_attention": (config.decoder_layers, 3, target, target),
        "cross_attention": (config.decoder_layers, 3, target, source),
    }
    for name, shape in shapes.items():
        weights = getattr(shown, name).numpy()
        assert weights.shape == shape
        np.testing.assert_allclose(weights.sum(axis=-1), 1.0, rtol=1e-5)
    assert np.all(np.triu(shown.decoder_attention.numpy(), 1) == 0)  # no position attends to later ones
    assert shown.positional_encodings.shape == (max(source, target), 12)
    assert shown.source_pieces.numpy()[-1] == vocabulary.spell(tf.constant(EOS)).numpy()


@pytest.mark.parametrize("text", ["", " ".join(SENTENCES * 3)])
def test_any_text_can_be_explained(explain: Explain, text: str) -> None:
    shown = explain(tf.constant(text))
    assert len(shown.source_pieces) <= OPTIONS.max_source_tokens + 1
    assert shown.cross_attention.shape[-1] == len(shown.source_pieces)


@pytest.mark.slow
def test_an_ensemble_shows_its_first_member(graph: TranslationGraph, explain: Explain, vocabulary: Vocabulary) -> None:
    both = TranslationGraph(Ensemble([graph.transformer, graph.transformer]), vocabulary, OPTIONS)
    one, two = (ask(tf.constant("A dog.")) for ask in (explain, both.explain))
    np.testing.assert_allclose(one.cross_attention, two.cross_attention, atol=1e-5)
