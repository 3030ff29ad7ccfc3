from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.network import beam_cache
from keras_nmt.app.decoding.network.beam_cache import BeamCache, decode_step, empty_cache
from keras_nmt.app.decoding.network.ensemble import Ensemble
from keras_nmt.app.decoding.network.fusion import ShallowFusion, fused
from keras_nmt.app.decoding.network.traced import TracedNetwork
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.beam_search import beam_search
from keras_nmt.app.decoding.search.sampling import Sampling, sample
from keras_nmt.app.decoding.text.texts import Search
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.layers import LanguageModel
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.transformer import Transformer
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, Vocabulary
from tests.app.decoding.fakes import SENTENCES, CopyingTransformer, RecitingModel, small_vocabulary
from tests.oracles.exhaustive_search import length_penalty

BEAMS, STEPS, SHAPE = 3, 7, {"model_width": 12, "inner_width": 20, "heads": 3}


def sharp(model: Any) -> Any:
    """Enlarges the embeddings, so that the probabilities of the tokens differ."""
    embeddings = model.weights[0]
    embeddings.assign(8 * embeddings)
    return model


def translation_model(vocabulary: int, seed: int = 1) -> Transformer:
    tf.keras.utils.set_random_seed(seed)
    return sharp(Transformer(TransformerConfig(vocabulary, encoder_layers=1, decoder_layers=2, **SHAPE)))


def language_model(vocabulary: int, seed: int = 2) -> LanguageModel:
    tf.keras.utils.set_random_seed(seed)
    shape = {**SHAPE, "heads": 2}
    return sharp(LanguageModel(TransformerConfig(vocabulary, encoder_layers=0, decoder_layers=1, **shape)))


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


def log_softmax(logits: Any) -> np.ndarray:
    return np.asarray(tf.nn.log_softmax(logits))


def teacher_forced(
    models: tuple[Transformer, LanguageModel], source: list[int], rows: Any, weight: float
) -> np.ndarray:
    """Returns log p_translation + weight * log p_language_model of each token of rows, [N, T], from whole prefixes."""
    rows = np.array(rows, np.int32)
    begin = np.full([len(rows), 1], BOS)
    target, read = np.concatenate([begin, rows], axis=1), np.concatenate([begin, 0 * begin + EOS, rows], axis=1)
    own = log_softmax(models[0]({"source": np.array([source] * len(rows)), "target": target}))[:, :-1]
    its = log_softmax(models[1]({"target": read}))[:, 1:-1]
    return np.take_along_axis(own + weight * its, rows[:, :, None], axis=2)[:, :, 0]


def test_the_softmax_of_fused_logits_is_the_product_of_the_probabilities() -> None:
    own, its = [0.1, 0.5, 0.4], [0.2, 0.3, 0.5]
    found = tf.nn.softmax(fused(tf.math.log(own), 5 + tf.math.log(its), 2.0))
    products = [0.5 * 0.3**2, 0.4 * 0.5**2]
    np.testing.assert_allclose(found, [1 - sum(products), *products], rtol=1e-6)
    without = fused(tf.math.log(own), tf.math.log(its), 0.0)
    np.testing.assert_allclose(without, np.log(own), atol=1e-6)


def test_no_probability_is_missing_if_the_models_never_choose_padding() -> None:
    certain = tf.constant([-100.0, 100.0, -100.0])
    found = fused(certain, certain, 1.0)
    np.testing.assert_allclose(tf.nn.softmax(found), [0, 1, 0], atol=1e-6)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("weight", [-0.1, float("inf"), float("nan")])
def test_a_weight_below_0_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="it must be at least 0"):
        ShallowFusion(translation_model(17), language_model(17), weight)


@pytest.mark.parametrize("members", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_stepwise_scores_of_reordered_beams_equal_teacher_forced_ones(
    members: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(beam_cache, "MOST_ROOM", 2)  # so that the cache is full more than once
    monkeypatch.setattr(beam_cache, "LEAST_ROOM", 1)
    models = translation_model(17), language_model(17)
    translation: Any = Ensemble([models[0], models[0]]) if members == 2 else models[0]
    model = ShallowFusion(translation, models[1], 0.7)
    sources = [[5, 6, 5, 3], [9, 5, 3, 0]]
    memory, may_attend = model.encode(tf.constant(sources))
    encoded = {"cross": model.cross_cache(memory), "may_attend_source": may_attend}
    random = np.random.default_rng(3)
    cache = empty_cache(model, tf.constant(2), tf.constant(BEAMS))
    history = np.full([2 * BEAMS, 1], BOS, np.int32)
    for position in range(STEPS):
        logits, cache = decode_step(model, tf.constant(history[:, -1]), tf.constant(position), cache, **encoded)
        tokens = random.integers(4, 17, 2 * BEAMS, dtype=np.int32)
        found = log_softmax(logits)[np.arange(2 * BEAMS), tokens]
        history = np.concatenate([history, tokens[:, None]], axis=1)
        of_sentences = np.split(history[:, 1:], 2)
        wanted = [teacher_forced(models, *both, 0.7)[:, -1] for both in zip(sources, of_sentences, strict=True)]
        np.testing.assert_allclose(found, np.concatenate(wanted), rtol=1e-4, atol=1e-4)
        survivors = (random.integers(0, BEAMS, (2, BEAMS)) + np.array([[0], [BEAMS]])).ravel()
        of_beams = tf.nest.map_structure(lambda values: tf.gather(values, survivors), cache.of_beams())  # noqa: B023
        history, cache = history[survivors], BeamCache(cache.written, *of_beams)
    by_token = log_softmax(model.decode(tf.constant(history[::BEAMS]), **encoded))
    for row, tokens in enumerate(history[::BEAMS, 1:]):
        found = by_token[row, np.arange(STEPS), tokens]
        np.testing.assert_allclose(found, teacher_forced(models, sources[row], [tokens], 0.7)[0], rtol=1e-4, atol=1e-4)


def every_output(
    models: tuple[Transformer, LanguageModel], source: list[int], *, limit: int, weight: float, alpha: float
) -> list[tuple[float, list[int]]]:
    """Returns the score and the tokens of every output of at most `limit` tokens, best first."""
    outputs = [[*tokens, EOS] for length in range(limit) for tokens in product((1, 4, 5, 6), repeat=length)]
    scores = teacher_forced(models, source, [(tokens + [EOS] * limit)[:limit] for tokens in outputs], weight)
    sums = [scores[row, : len(tokens)].sum() for row, tokens in enumerate(outputs)]
    penalised = [total / length_penalty(len(tokens), alpha) for total, tokens in zip(sums, outputs, strict=True)]
    return sorted(zip(penalised, outputs, strict=True), reverse=True)


@pytest.mark.parametrize(("weight", "alpha"), [(0.4, 0.0), pytest.param(1.5, 0.6, marks=pytest.mark.slow)])
def test_a_wide_beam_finds_the_best_of_all_outputs(weight: float, alpha: float) -> None:
    models, limit, beams = (translation_model(7), language_model(7)), 4, 90
    sources = [[4, 5, 6], [6, 1]]
    step, state = TracedNetwork(ShallowFusion(*models, weight)).begin(tf.ragged.constant(sources, tf.int32), beams)
    limits = tf.fill([2], limit)
    found = beam_search(step, state, length_limits=limits, beam_size=beams, length_penalty=alpha, hypotheses=beams)
    for row, source in enumerate(sources):
        of_models = partial(every_output, models, [*source, EOS], limit=limit, alpha=alpha)
        scores, outputs = zip(*of_models(weight=weight), strict=True)
        assert len(outputs) == 1 + 4 + 16 + 64
        np.testing.assert_allclose(found.scores[row, : len(scores)], scores, rtol=1e-4, atol=1e-4)
        assert found.tokens[row, 0, : len(outputs[0])].numpy().tolist() == outputs[0]
        assert [tokens for _, tokens in of_models(weight=0.0)] != list(outputs)


@pytest.mark.slow
def test_samples_are_drawn_by_the_fused_scores() -> None:
    models, rows, tokens = (translation_model(7), language_model(7)), 4000, [1, 3, 4, 5, 6]
    step, state = TracedNetwork(ShallowFusion(*models, 1.0)).begin(tf.ragged.constant([[4, 5]] * rows, tf.int32), 1)
    seeds = tf.stack([tf.range(rows), tf.zeros([rows], tf.int32)], axis=1)
    drawn = sample(step, state, length_limits=tf.fill([rows], 2), seeds=seeds, sampling=Sampling())
    scores = teacher_forced(models, [4, 5, EOS], [[token] for token in tokens], 1.0)[:, 0]
    first = drawn.tokens[:, 0, 0].numpy()
    shares = [np.mean(first == token) for token in tokens]
    np.testing.assert_allclose(shares, np.exp(scores) / np.exp(scores).sum(), atol=0.04)  # 5 standard deviations
    of_tokens = [scores[tokens.index(token)] for token in first[:9]]
    np.testing.assert_allclose(drawn.token_log_probabilities[:9, 0, 0], of_tokens, rtol=1e-4, atol=1e-4)


@pytest.fixture(scope="module")
def graphs(vocabulary: Vocabulary) -> list[TranslationGraph]:
    """A graph without and with a language model of weight 0."""
    own, text = translation_model(vocabulary.size), language_model(vocabulary.size)
    options = DecodingOptions(beam_size=3, max_extra_tokens=5)
    return [TranslationGraph(model, vocabulary, options) for model in (own, ShallowFusion(own, text, 0.0))]


@pytest.mark.slow
def test_weight_0_changes_nothing(graphs: list[TranslationGraph]) -> None:
    texts = tf.constant(SENTENCES[:3])
    alone, both = (graph.translate(texts, hypotheses=3) for graph in graphs)
    np.testing.assert_array_equal(alone.translations, both.translations)
    np.testing.assert_allclose(alone.scores, both.scores, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(alone.token_log_probabilities, both.token_log_probabilities, rtol=1e-3, atol=1e-4)
    search = Search.of(graphs[0].options)
    drawn = [graph.sample(texts, tf.range(3), Sampling(), search, count=2).translations for graph in graphs]
    np.testing.assert_array_equal(*drawn)
    targets = tf.constant(SENTENCES[2:])
    np.testing.assert_array_equal(*(graph.align(texts, targets).alignments for graph in graphs))


def test_the_translation_that_the_language_model_prefers_is_chosen(vocabulary: Vocabulary) -> None:
    source = vocabulary.encode(tf.constant(SENTENCES[:1]))
    copy = source[0].numpy().tolist()
    preferred = [copy[0], copy[3], *copy[2:]]
    reciting: Any = RecitingModel([EOS, *preferred], vocabulary.size)  # reads BOS, EOS, then the translation
    copying: Any = CopyingTransformer(vocabulary.size)
    assert preferred != copy
    for weight, expected in ((0.2, copy), (0.5, preferred)):
        graph = TranslationGraph(ShallowFusion(copying, reciting, weight), vocabulary, DecodingOptions())
        assert graph.search(source, 1).tokens[0, 0, : len(copy)].numpy().tolist() == expected
