from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.glossary import read_glossary, terms_in, word_continuations, word_may_continue
from keras_nmt.app.decoding.search.beam_settings import BeamSettings
from keras_nmt.app.decoding.search.constrained_search import LARGEST_BEAM, Phrases, constrained_search, enlarged_beam
from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.errors import UserError
from keras_nmt.pipelines.vocabulary.tokenizer import PAD
from tests.app.decoding.search.test_beam_search import first_state, step_of, tokens_of
from tests.oracles.exhaustive_search import PrefixScorer, exhaustive_search

Terms = list[list[int]]


@tf.function(
    input_signature=[
        tf.TensorSpec([None, None, None], tf.float32),
        tf.TensorSpec([None, None, None], tf.int32),
        tf.TensorSpec([None], tf.int32),
        tf.TensorSpec([], tf.int32),
        tf.TensorSpec([None], tf.bool),
    ],
    autograph=False,
)
def traced_search(
    scores: tf.Tensor, phrases: tf.Tensor, limits: tf.Tensor, beam_size: tf.Tensor, continues_word: tf.Tensor
) -> Hypotheses:
    """`constrained_search` over a scorer's table, traced once for all searches; words may continue after phrases."""
    beam = enlarged_beam(phrases, beam_size)
    return constrained_search(
        step_of(scores),
        first_state(tf.range(tf.size(limits)), beam),
        phrases=Phrases(phrases, phrases[:, :, 0] != PAD),
        continues_word=continues_word,
        length_limits=limits,
        settings=BeamSettings(beam, 0.6, tf.constant(1)),
    )


def search(
    scorer: PrefixScorer, phrases: list[Terms], limits: list[int], beam_size: int, continues_word: tuple[int, ...] = ()
) -> Hypotheses:
    table = tf.ragged.constant([[*of_one, [PAD]] for of_one in phrases], tf.int32, ragged_rank=2).to_tensor(PAD)
    continuations = tf.constant([token in continues_word for token in range(7)])
    return traced_search(tf.constant(scorer.table), table, tf.constant(limits), tf.constant(beam_size), continuations)


def contains(tokens: tuple[int, ...], phrase: list[int], continues_word: tuple[int, ...] = ()) -> bool:
    ends = range(len(phrase), len(tokens))  # EOS follows
    return any(list(tokens[i - len(phrase) : i]) == phrase and tokens[i] not in continues_word for i in ends)


phrase_lists = st.sampled_from([[], [[4]], [[4, 5]], [[4], [5]], [[4, 5], [6]], [[6], [5, 4]], [[4, 4]], [[5, 6, 4]]])
overlapping = st.lists(st.lists(st.integers(4, 6), min_size=1, max_size=2), max_size=2)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 9999), phrases=st.lists(phrase_lists, min_size=1, max_size=2))
def test_a_beam_wide_enough_finds_the_best_with_all_phrases(seed: int, phrases: list[Terms]) -> None:
    scorer = PrefixScorer(seed, sentences=len(phrases), vocabulary=7, length=4)
    found = search(scorer, phrases, [4] * len(phrases), beam_size=160)
    for sentence, wanted in enumerate(phrases):
        every = exhaustive_search(scorer, sentence, limit=4, alpha=0.6)
        expected = next(e for e in every if all(contains(e.tokens, phrase) for phrase in wanted))
        assert tokens_of(found, sentence)[0] == expected.tokens
        np.testing.assert_allclose(found.scores[sentence, 0], expected.score, rtol=1e-5)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 9999), phrases=st.lists(overlapping, min_size=1, max_size=2), beam_size=st.integers(1, 3))
def test_every_phrase_is_translated_even_if_there_is_just_enough_room(
    seed: int, phrases: list[Terms], beam_size: int
) -> None:
    scorer = PrefixScorer(seed, sentences=len(phrases), vocabulary=7, length=5)
    limits = [1 + sum(map(len, wanted)) for wanted in phrases]
    found = search(scorer, phrases, limits, beam_size)
    for sentence, wanted in enumerate(phrases):
        tokens = tokens_of(found, sentence)[0]
        assert all(contains(tokens, phrase) for phrase in wanted)
        assert len(tokens) <= limits[sentence]
        log_probability = scorer.log_probability(sentence, tokens)
        np.testing.assert_allclose(found.log_probabilities[sentence, 0], log_probability, rtol=1e-5)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 9999), phrases=st.lists(phrase_lists, min_size=1, max_size=2))
def test_a_phrase_whose_last_word_continues_does_not_count(seed: int, phrases: list[Terms]) -> None:
    scorer = PrefixScorer(seed, sentences=len(phrases), vocabulary=7, length=4)
    found = search(scorer, phrases, [4] * len(phrases), beam_size=160, continues_word=(5, 6))
    for sentence, wanted in enumerate(phrases):
        every = exhaustive_search(scorer, sentence, limit=4, alpha=0.6)
        expected = next((e for e in every if all(contains(e.tokens, phrase, (5, 6)) for phrase in wanted)), None)
        if expected is None:  # [[4, 5], [6]] has room only if one follows the other directly
            continue
        assert tokens_of(found, sentence)[0] == expected.tokens
        np.testing.assert_allclose(found.scores[sentence, 0], expected.score, rtol=1e-5)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 9999), wanted=st.sampled_from([[[4]], [[4, 5]], [[4], [4, 6]]]), beam_size=st.integers(1, 3))
def test_with_any_beam_a_phrase_ends_its_word(seed: int, wanted: Terms, beam_size: int) -> None:
    scorer = PrefixScorer(seed, sentences=1, vocabulary=7, length=6)
    found = search(scorer, [wanted], [6], beam_size, continues_word=(5, 6))
    tokens = tokens_of(found, 0)[0]
    assert all(contains(tokens, phrase, (5, 6)) for phrase in wanted)


def test_pieces_that_continue_a_word_and_terms_whose_word_may_continue() -> None:
    pieces = ["▁Haus", "haus", "▁", ".", "-Stadt", "'s", "5", "\u0301", "京", "ไทย", "<0xC3>", "</s>", "<2de>", "я"]
    expected = ["haus", "5", "\u0301", "<0xC3>", "я"]
    assert [piece for piece, is_so in zip(pieces, word_continuations(pieces), strict=True) if is_so] == expected
    terms = {
        "Haus": True,
        "C++": False,
        "x2": True,
        "東京": False,
        "café": True,
        "cafe\u0301": True,
        "कमल": True,
        "": False,
    }
    assert word_may_continue(tf.constant([*terms])).numpy().tolist() == [*terms.values()]


def test_the_beam_grows_with_the_phrases_up_to_a_limit() -> None:
    phrases = tf.constant([[[4, 5], [6, PAD]], [[PAD, PAD], [PAD, PAD]]])
    assert int(enlarged_beam(phrases, tf.constant(2))) == 4
    assert int(enlarged_beam(phrases, tf.constant(9))) == 9
    assert int(enlarged_beam(tf.fill([1, 1, 99], 4), tf.constant(2))) == LARGEST_BEAM


@pytest.mark.parametrize(
    ("text", "terms", "expected"),
    [
        ("The neural network learns.", ["network", "learn", "neural"], [True, False, True]),
        ("The neural network learns.", ["network", "neural network", "learns."], [False, True, True]),
        ("A network of a neural network", ["network", "neural network"], [True, True]),
        ("Network cards", ["network", "NETWORK", "Network"], [False, False, True]),
        ("An apple a day from Apple", ["apple", "Apple"], [True, True]),
        ("It costs $5 (+tax).", ["$5 (+tax)", "5", "tax"], [True, False, False]),
        ("Über die Straße", ["über", "straße", "tra"], [True, True, False]),
        ("", ["a"], [False]),
    ],
)
def test_terms_are_found_as_whole_words_and_longer_ones_first(
    text: str, terms: list[str], expected: list[bool]
) -> None:
    assert terms_in(tf.constant([text, "x"]), tf.constant(terms)).numpy()[0].tolist() == expected


def test_no_terms_and_no_texts() -> None:
    assert terms_in(tf.constant(["a"]), tf.constant([], tf.string)).shape == (1, 0)
    assert terms_in(tf.constant([], tf.string), tf.constant(["a", "b"])).shape == (0, 2)


def test_a_glossary_is_read(tmp_path: Path) -> None:
    path = tmp_path / "terms.tsv"
    path.write_text("# mine\n\nstation\tBahnhof\nneural network\t neuronales Netz \n", encoding="utf-8")
    assert read_glossary(path) == (("station", "Bahnhof"), ("neural network", "neuronales Netz"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("station\tBahnhof\nsea\n", "line 2: expected SOURCE TERM, a tab and TARGET TERM, got 'sea'"),
        ("station\t\n", "line 1: expected"),
        ("a\tb\tc\n", "line 1: expected"),
        ("# nothing\n", "contains no term"),
    ],
)
def test_a_bad_glossary_is_refused(content: str, message: str, tmp_path: Path) -> None:
    path: Any = tmp_path / "terms.tsv"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        read_glossary(path)


@pytest.mark.parametrize(
    "term",
    [
        "don\u2019t",
        "5 €",
        "20 °C",
        "Tom \u2013 Mary",
        "हिन्दी",
        "cafe\u0301",
        "™",
        "C++ (x86)",
        r"a\b[c]^$|d?*",
        "👍🏽",
        "…",
    ],
)
def test_a_term_of_any_characters_is_found_verbatim(term: str) -> None:
    texts = [f"It is {term} here.", f"({term})", term, f"a{term}b", "another text"]
    assert terms_in(tf.constant(texts), tf.constant([term])).numpy()[:, 0].tolist() == [True, True, True, False, False]


def test_a_term_does_not_end_within_a_letter_of_several_characters() -> None:
    assert not terms_in(tf.constant(["cafe\u0301s", "cafe\u0301"]), tf.constant(["cafe"])).numpy().any()
