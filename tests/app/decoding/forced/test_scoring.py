from collections.abc import Mapping
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.forced import scoring
from keras_nmt.app.decoding.given_translations import Score, Scorer
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.signatures import Signatures
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.decoding.translator import TranslationRequest, Translator
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.transformer import Transformer
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary
from tests.app.decoding.fakes import SENTENCES, CopyingTransformer, small_vocabulary, untraced_signatures

OPTIONS = DecodingOptions(beam_size=3, length_penalty=0.8, max_extra_tokens=5)
PAIRS = [
    ("The cat sat on the mat.", "Die Katze saß auf der Matte!"),
    ("", ""),
    ("A dog barks", "Übung"),
    ("night", ""),
    ("", "Meister"),
    ("one two three four five six", "eins zwei"),
]


@pytest.fixture(scope="module")
def vocabulary() -> Vocabulary:
    return small_vocabulary()


@pytest.fixture(scope="module")
def graph(vocabulary: Vocabulary) -> TranslationGraph:
    keras.utils.set_random_seed(3)
    config = TransformerConfig(
        vocabulary.size, model_width=12, inner_width=20, heads=3, encoder_layers=1, decoder_layers=1
    )
    transformer = Transformer(config)
    transformer.build()
    return TranslationGraph(transformer, vocabulary, OPTIONS)


@pytest.fixture(scope="module")
def signatures(graph: TranslationGraph) -> Signatures:
    return graph.signatures()


def test_scoring_agrees_with_the_search(graph: TranslationGraph, vocabulary: Vocabulary) -> None:
    pieces = vocabulary.encode(tf.constant(["The cat sat on the mat.", "A dog"]))
    found = graph.search(pieces, 3)
    for n in range(3):
        by_token = graph.token_log_probabilities(pieces, found.tokens[:, n])
        np.testing.assert_allclose(tf.reduce_sum(by_token, axis=1), found.log_probabilities[:, n], rtol=1e-5)


def test_a_translation_has_the_score_it_was_translated_with(vocabulary: Vocabulary) -> None:
    lines = [*SENTENCES, ""]
    signatures = untraced_signatures(TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, OPTIONS))
    translations = Translator(signatures).translate(lines)
    scores = Scorer(signatures).score_lines(zip(lines, (t.text for t in translations), strict=True))
    np.testing.assert_allclose([s.score for s in scores], [t.score for t in translations], atol=1e-4)


def test_several_sentences_and_lists_have_the_score_they_were_translated_with(vocabulary: Vocabulary) -> None:
    lines = [
        "The cat sat. A dog barks! Is it so?",
        "1. The cat sat. 2. A dog barks.",
        "---",
        "The cat sat. --- A dog.",
        "a@b.example",
        "好。The cat.",
        "one two three four five six seven eight nine ten " * 3,
    ]
    graph = TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, replace(OPTIONS, max_source_tokens=20))
    signatures = untraced_signatures(graph)
    translations = Translator(signatures, request=TranslationRequest(2, with_tokens=True)).translate(lines)
    scores = list(Scorer(signatures).score_lines(zip(lines, (t.text for t in translations), strict=True)))
    np.testing.assert_allclose([s.score for s in scores], [t.score for t in translations], atol=1e-4)
    for score, translation in zip(scores, translations, strict=True):
        assert [piece for piece, _ in score.tokens] == [piece for piece, _ in translation.tokens]
        probabilities = ([value for _, value in tokens] for tokens in (score.tokens, translation.tokens))
        np.testing.assert_allclose(*probabilities, atol=1e-4)


def test_a_list_number_on_one_side_only_is_scored_as_text(graph: TranslationGraph) -> None:
    found = graph.score(tf.constant(["1. The cat", "The cat"]), tf.constant(["Die Katze", "1. Die Katze"]))
    assert np.all(found.scores < 0)
    assert found.pieces[1, 0].numpy().decode() == "▁"
    assert found.token_log_probabilities[1, 0] < 0


def test_a_translation_far_longer_than_its_text_is_scored_in_parts(graph: TranslationGraph) -> None:
    long = "Die Katze saß auf der Matte " * 200
    found = graph.score(tf.constant(["The cat."]), tf.constant([long]))
    spelt = b"".join(found.pieces.numpy()[0]).decode().replace("▁", " ").replace("</s>", "").strip()
    assert spelt == long.strip()


def test_a_score_is_computed_from_those_of_its_tokens(signatures: Signatures, vocabulary: Vocabulary) -> None:
    scores = list(Scorer(signatures).score_lines(PAIRS))
    for (_, target), score in zip(PAIRS, scores, strict=True):
        pieces = [piece for piece, _ in score.tokens]
        ids = vocabulary.encode(tf.constant([target])).to_list()[0]
        expected = [*(vocabulary.pieces()[i] for i in ids), "</s>"]
        assert pieces == ([] if score == Score(0.0, 0.0, ()) else expected)
        assert score.log_probability == pytest.approx(sum(value for _, value in score.tokens), rel=1e-5)
        assert all(value < 0 for _, value in score.tokens)
        penalty = ((5 + len(score.tokens)) / 6) ** OPTIONS.length_penalty
        assert score.score == pytest.approx(score.log_probability / penalty, rel=1e-5)
    assert [score == Score(0.0, 0.0, ()) for score in scores] == [pair == ("", "") for pair in PAIRS]


@pytest.mark.parametrize("setting", [{"batch_tokens": 16}, {"window_lines": 2}])
def test_the_other_pairs_of_a_batch_do_not_change_a_score(signatures: Signatures, setting: Mapping[str, int]) -> None:
    alone = [next(Scorer(signatures).score_lines([pair])) for pair in PAIRS]
    for ours, theirs in zip(Scorer(signatures, **setting).score_lines(PAIRS), alone, strict=True):
        assert [piece for piece, _ in ours.tokens] == [piece for piece, _ in theirs.tokens]
        assert [value for _, value in ours.tokens] == pytest.approx([value for _, value in theirs.tokens], rel=1e-4)


def test_logits_are_computed_a_few_rows_at_a_time(graph: TranslationGraph, monkeypatch: pytest.MonkeyPatch) -> None:
    sources, targets = (tf.constant(side) for side in zip(*PAIRS, strict=True))
    whole = graph.score(sources, targets)
    monkeypatch.setattr(scoring, "LOGITS_AT_ONCE", 2 * whole.pieces.shape[1] * graph.vocabulary.size)
    for ours, theirs in zip(graph.score(sources, targets)[:3], whole[:3], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_the_length_penalty_is_that_of_the_options(graph: TranslationGraph, vocabulary: Vocabulary) -> None:
    plain = TranslationGraph(graph.transformer, vocabulary, replace(OPTIONS, length_penalty=0.0))
    (score,) = Scorer(untraced_signatures(plain)).score_lines(PAIRS[:1])
    assert score.score == score.log_probability


def test_no_pairs_have_no_scores(graph: TranslationGraph, signatures: Signatures) -> None:
    assert list(Scorer(signatures).score_lines([])) == []
    nothing = tf.constant([], tf.string)
    assert graph.score(nothing, nothing).scores.shape == (0,)
