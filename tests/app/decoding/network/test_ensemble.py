import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.network.ensemble import Ensemble, mean_logits
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.transformer import Transformer
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary
from tests.app.decoding.fakes import SENTENCES, small_vocabulary


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def ensemble(vocabulary: Vocabulary) -> Ensemble:
    """Two transformers of different shapes."""
    shapes = [
        {"model_width": 12, "heads": 3, "decoder_layers": 1},
        {"model_width": 16, "heads": 2, "decoder_layers": 2},
    ]
    transformers = []
    for shape in shapes:
        transformer = Transformer(
            TransformerConfig(vocabulary.size, inner_width=20, encoder_layers=1, **shape)  # type: ignore[arg-type]
        )
        transformer.build()
        transformers.append(transformer)
    return Ensemble(transformers)


def test_the_probabilities_are_the_mean_of_the_members(ensemble: Ensemble) -> None:
    inputs = {"source": tf.constant([[9, 12, 3]]), "target": tf.constant([[2, 17, 40]])}
    memory, may_attend = ensemble.encode(inputs["source"])
    encoded = {"cross": ensemble.cross_cache(memory), "may_attend_source": may_attend}
    found = tf.nn.softmax(ensemble.decode(inputs["target"], **encoded))
    of_each = [tf.nn.softmax(member(inputs)) for member in ensemble.transformers]
    np.testing.assert_allclose(found, (of_each[0] + of_each[1]) / 2, rtol=1e-5)
    logits = tf.constant([[1000.0, 0.0]])
    np.testing.assert_allclose(tf.nn.softmax(mean_logits([logits, -logits])), [[0.5, 0.5]])


def copying(vocabulary: Vocabulary) -> Ensemble:
    """Two transformers that copy, with sharp distributions."""
    sizes = {"inner_width": 20, "encoder_layers": 1, "decoder_layers": 1, "copying": True}
    shapes = [{"model_width": 12, "heads": 3}, {"model_width": 16, "heads": 2}]
    members = [Transformer(TransformerConfig(vocabulary.size, **sizes, **shape)) for shape in shapes]  # type: ignore[arg-type]
    for member in members:
        member.copy_attention.query.kernel.assign(4 * member.copy_attention.query.kernel.value)
    return Ensemble(members)


@pytest.mark.parametrize("alone", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_each_beam_copies_as_in_a_whole_target(vocabulary: Vocabulary, alone: bool) -> None:
    network = copying(vocabulary)
    options = DecodingOptions(beam_size=3, max_extra_tokens=10)
    graph = TranslationGraph(network.transformers[0] if alone else network, vocabulary, options)
    tokens = vocabulary.encode(tf.constant(SENTENCES))
    found = graph.search(tokens, 3)
    for beam in range(3):
        by_token = graph.token_log_probabilities(tokens, found.tokens[:, beam])
        np.testing.assert_allclose(found.token_log_probabilities[:, beam], by_token, atol=1e-4)
    own, copied = (set(ids.numpy().flatten().tolist()) for ids in (tokens.flat_values, found.tokens))
    assert len(own & copied) > 3  # the best tokens are copied


def test_search_and_scoring_agree(ensemble: Ensemble, vocabulary: Vocabulary) -> None:
    graph = TranslationGraph(ensemble, vocabulary, DecodingOptions(beam_size=3, max_extra_tokens=40))
    tokens = vocabulary.encode(tf.constant(SENTENCES))
    found = graph.search(tokens, 1)
    labels = found.tokens[:, 0]
    by_token = graph.token_log_probabilities(tokens, labels)
    np.testing.assert_allclose(found.token_log_probabilities[:, 0], by_token, atol=1e-4)
    alone = TranslationGraph(ensemble.transformers[0], vocabulary, graph.options)
    assert not np.allclose(alone.token_log_probabilities(tokens, labels), by_token, atol=1e-2)


@pytest.mark.slow
def test_an_ensemble_of_equal_members_is_like_one_member(ensemble: Ensemble, vocabulary: Vocabulary) -> None:
    one = ensemble.transformers[0]
    options = DecodingOptions(beam_size=2, max_extra_tokens=10)
    texts = tf.constant(SENTENCES[:2])
    of_both = TranslationGraph(Ensemble([one, one]), vocabulary, options)
    twice, aligned_twice = of_both.translate(texts), of_both.align(texts, texts)
    of_one = TranslationGraph(one, vocabulary, options)
    alone, aligned = of_one.translate(texts), of_one.align(texts, texts)
    np.testing.assert_array_equal(alone.translations, twice.translations)
    np.testing.assert_allclose(alone.scores, twice.scores, rtol=1e-4)
    np.testing.assert_array_equal(aligned.alignments, aligned_twice.alignments)
