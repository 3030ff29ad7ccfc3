"""The model and its search against CTranslate2, an independent implementation.

Both compute in float32 with the same random weights, with layer normalisation after and before the residual sum, and
with an encoder and a decoder of different depth. Our search takes one padded batch, CTranslate2 single sentences.
"""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import ctranslate2
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.decoding.text.texts import Search
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.models.ctranslate2_model import write_ctranslate2
from keras_nmt.layers import Transformer, TransformerConfig
from keras_nmt.layers.config import Normalization
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD, UNK, Vocabulary

SENTENCES = 40
LONGEST = 23  # tokens in a sentence, without EOS
MAX_EXTRA_TOKENS = 40  # enough to make our cache grow
TOLERANCE = 1e-4  # of a log-probability
SEEDS: dict[Normalization, int] = {"post": 5, "pre": 11}  # with these weights most translations differ
WIDTH, HEADS, INNER, VOCABULARY = 32, 4, 47, 60
OPTIONS = DecodingOptions(length_penalty=0.0, max_extra_tokens=MAX_EXTRA_TOKENS)
PIECES = [{PAD: "<pad>", UNK: "<unk>", BOS: "<s>", EOS: "</s>"}.get(i, f"piece{i}") for i in range(VOCABULARY)]

Sentences = list[list[int]]


class Pair(NamedTuple):
    """The same model as our layers, with their search graph, and as a `ctranslate2.Translator`."""

    ours: Transformer
    graph: TranslationGraph
    theirs: Any


@pytest.fixture(params=SEEDS, scope="module")
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    ours, folder = random_transformer(request.param), tmp_path_factory.mktemp(request.param)
    vocabulary = SimpleNamespace(pieces=lambda: PIECES, save=lambda path: None)
    write_ctranslate2(ours, cast(Vocabulary, vocabulary), folder, "float32")
    graph = TranslationGraph(ours, cast(Vocabulary, vocabulary), OPTIONS)
    return Pair(ours, graph, ctranslate2.Translator(str(folder), compute_type="float32", intra_threads=1))


def test_log_probabilities_of_tokens_are_equal(pair: Pair) -> None:
    sources, targets = random_sentences(seed=1), random_sentences(seed=2)
    inputs = {"source": padded([[*s, EOS] for s in sources]), "target": padded([[BOS, *t] for t in targets])}
    ours = keras.ops.convert_to_numpy(keras.ops.log_softmax(pair.ours(inputs)))  # [B, T, V]
    theirs = their_log_probabilities(pair.theirs, sources, targets)
    for sentence, target, expected in zip(ours, targets, theirs, strict=True):
        labels = [*target, EOS]
        np.testing.assert_allclose(sentence[range(len(labels)), labels], expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_greedy_translations_are_equal(pair: Pair) -> None:
    sources = random_sentences(seed=3)
    found = tokens(our_search(pair.graph, sources, beam_size=1))
    assert found == their_search(pair.theirs, sources, beam_size=1)
    assert len({tuple(sentence) for sentence in found}) > SENTENCES / 2


def test_beam_search_finds_equal_or_more_probable_translations(pair: Pair) -> None:
    """Compares the scores of both translations, which may differ.

    Both extend the same beams, but CTranslate2 lets a hypothesis end among the K best candidates, our search among the
    2K best. So our translation is at least as probable.
    """
    sources = random_sentences(seed=4)
    hypotheses = our_search(pair.graph, sources, beam_size=4)
    ours, theirs = tokens(hypotheses), their_search(pair.theirs, sources, beam_size=4)
    judged_ours, judged_theirs = (
        np.array([sum(scores) for scores in their_log_probabilities(pair.theirs, sources, targets)])
        for targets in (ours, theirs)
    )
    np.testing.assert_allclose(hypotheses.log_probabilities[:, 0], judged_ours, rtol=TOLERANCE, atol=TOLERANCE)
    assert np.all(judged_ours > judged_theirs - TOLERANCE)
    same = sum(a == b for a, b in zip(ours, theirs, strict=True))
    assert same > SENTENCES / 2
    assert len({tuple(sentence) for sentence in ours}) > SENTENCES / 2


def random_transformer(normalization: Normalization) -> Transformer:
    """Returns a model with random weights whose translations end and depend on the source."""
    transformer = Transformer(
        TransformerConfig(
            vocabulary_size=VOCABULARY,
            model_width=WIDTH,
            inner_width=INNER,
            heads=HEADS,
            encoder_layers=2,
            decoder_layers=3,
            normalization=normalization,
        )
    )
    transformer.build()
    generator = np.random.default_rng(SEEDS[normalization])
    for weight in transformer.weights:
        if len(weight.shape) == 1:
            weight.assign(generator.normal(1.0 if weight.name == "gamma" else 0.0, 0.1, weight.shape))
        else:
            gain = 3.0 if "feed_forward" in weight.path else 1.0  # so that the next token depends on the last
            matrix = generator.normal(scale=gain * weight.shape[0] ** -0.5, size=weight.shape)
            weight.assign(matrix - matrix.mean(0))  # else one token would always be the most probable
    sharpen(transformer, generator.normal(scale=0.2, size=(VOCABULARY, WIDTH)))
    return transformer


def sharpen(transformer: Transformer, embeddings: np.ndarray[Any, Any]) -> None:
    """Makes some tokens much more probable than others, and uses the first column of the embeddings as a logit bias.

    The bias makes EOS likely, and PAD and BOS very unlikely: our search forbids these two, CTranslate2 does not.
    """
    norm = transformer.decoder.final_norm or transformer.decoder.blocks[-1].residuals[-1].norm
    is_bias = np.arange(WIDTH) == 0
    norm.gamma.assign(np.where(is_bias, 0.0, 4.0 * norm.gamma.numpy()))
    norm.beta.assign(np.where(is_bias, 20.0, norm.beta.numpy()))
    embeddings[:, 0] = 0.0
    embeddings[[PAD, BOS], 0] = -1.0
    embeddings[EOS, 0] = 0.3
    transformer.embedding.embeddings.assign(embeddings)


def random_sentences(seed: int) -> Sentences:
    generator = np.random.default_rng(seed)
    lengths = generator.integers(1, LONGEST + 1, SENTENCES)
    return [generator.integers(EOS + 1, VOCABULARY, length).tolist() for length in lengths]


def padded(rows: Sentences) -> tf.Tensor:
    return tf.ragged.constant(rows, tf.int32).to_tensor(PAD)


def our_search(graph: TranslationGraph, sources: Sentences, beam_size: int) -> Hypotheses:
    """Returns the hypotheses of our search, which is traced once for all beam sizes."""
    rows, no_prefixes = (tf.ragged.constant(ids, tf.int32, ragged_rank=1) for ids in (sources, [[]] * len(sources)))
    found: Hypotheses = graph.traced_search(rows, no_prefixes, 1, *Search.of(replace(OPTIONS, beam_size=beam_size)))
    return found


def tokens(found: Hypotheses) -> Sentences:
    """Returns the best hypotheses, without EOS."""
    rows = zip(found.tokens[:, 0].numpy(), found.lengths[:, 0].numpy(), strict=True)
    return [row[: length - 1].tolist() for row, length in rows]


def their_search(translator: Any, sources: Sentences, beam_size: int) -> Sentences:
    """Returns the best hypotheses of CTranslate2, with the length limit of our search (it does not count EOS)."""
    found = [
        translator.translate_batch(
            pieces([source]),
            beam_size=beam_size,
            length_penalty=0,
            min_decoding_length=0,
            max_decoding_length=len(source) + MAX_EXTRA_TOKENS,
        )
        for source in sources
    ]
    return [[PIECES.index(piece) for piece in results[0].hypotheses[0]] for results in found]


def their_log_probabilities(translator: Any, sources: Sentences, targets: Sentences) -> list[list[float]]:
    """Returns the log-probabilities of the tokens of each target and of EOS after them."""
    return [scored.log_probs for scored in translator.score_batch(pieces(sources), pieces(targets))]


def pieces(rows: Sentences) -> list[list[str]]:
    return [[PIECES[token] for token in row] for row in rows]
