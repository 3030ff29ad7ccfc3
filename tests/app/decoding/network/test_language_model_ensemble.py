"""An ensemble of language models: the mean of the members' probabilities, in scoring and in generation."""

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.app.decoding.network.language_model_ensemble import LanguageModelEnsemble
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.layers import LanguageModel, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, Vocabulary
from tests.app.decoding.fakes import small_vocabulary
from tests.layers.samples import randomise

CONTEXT = 16
OPTIONS = DecodingOptions(max_extra_tokens=14)


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def ensemble(vocabulary: Vocabulary) -> LanguageModelEnsemble:
    """Two language models of different shapes, whose most probable tokens depend much on the tokens before."""
    members = []
    for width, heads, layers in ((12, 3, 1), (16, 2, 2)):
        config = TransformerConfig(vocabulary.size, width, 20, heads, encoder_layers=0, decoder_layers=layers)
        member = LanguageModel(config)
        randomise(member)
        for weight in member.weights:
            weight.assign(weight * (4.0 if "embeddings" in weight.path or "kernel" in weight.path else 1.0))
        members.append(member)
    return LanguageModelEnsemble(members)


def mean_probabilities(ensemble: LanguageModelEnsemble, tokens: tf.Tensor) -> np.ndarray:
    return np.mean([tf.nn.softmax(member.decode(tokens)) for member in ensemble.models], axis=0)


def test_the_probabilities_are_the_mean_of_the_members(ensemble: LanguageModelEnsemble) -> None:
    tokens = tf.constant([[2, 17, 40], [2, 9, 5]])
    of_each = [tf.nn.softmax(member.decode(tokens)).numpy() for member in ensemble.models]
    np.testing.assert_allclose(tf.nn.softmax(ensemble.decode(tokens)), (of_each[0] + of_each[1]) / 2, rtol=1e-4)
    assert np.abs(of_each[0] - of_each[1]).max() > 0.02
    assert ensemble.count_params() == sum(member.count_params() for member in ensemble.models)


def test_generated_tokens_and_their_scores_are_those_of_the_mean(
    ensemble: LanguageModelEnsemble, vocabulary: Vocabulary
) -> None:
    graph = GenerationGraph(ensemble, vocabulary, OPTIONS, CONTEXT)
    prompts = tf.constant(["The cat", "one two three"])
    settings = GenerationSettings.of(OPTIONS).changed({"temperature": 0.0, "max_tokens": 3})
    found = graph.generate(prompts, tf.zeros([2], tf.int32), settings)
    names = vocabulary.pieces()
    for row, prompt in enumerate(vocabulary.encode(prompts).to_list()):
        read = [BOS, *prompt]
        assert len(read) + 3 <= CONTEXT  # the block does not slide
        for step, piece in enumerate(filter(None, found.pieces[row, 0].numpy().tolist())):
            probabilities = mean_probabilities(ensemble, tf.constant([read]))[0, -1]
            allowed = np.where(np.isin(np.arange(len(names)), (PAD, BOS)), 0.0, probabilities)
            assert names[int(allowed.argmax())] == piece.decode()
            logarithm = np.log(allowed.max())
            assert float(found.token_log_probabilities[row, 0, step]) == pytest.approx(logarithm, abs=1e-4)
            read.append(int(allowed.argmax()))


def test_the_score_of_a_text_is_that_of_the_mean(ensemble: LanguageModelEnsemble, vocabulary: Vocabulary) -> None:
    graph = GenerationGraph(ensemble, vocabulary, OPTIONS, CONTEXT)
    text = "The cat"
    labels = [*vocabulary.encode(tf.constant([text])).to_list()[0], EOS]
    assert len(labels) < CONTEXT
    probabilities = mean_probabilities(ensemble, tf.constant([[BOS, *labels[:-1]]]))[0]
    expected = np.log(probabilities[np.arange(len(labels)), labels]).sum()
    assert float(graph.score(tf.constant([text])).log_probabilities[0]) == pytest.approx(expected, abs=1e-3)
