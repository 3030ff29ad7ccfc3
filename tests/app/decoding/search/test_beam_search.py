from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.search.beam_search import beam_search
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState, Step
from keras_nmt.app.decoding.search.penalties import NO_RULES, Repetition, length_penalties, penalize_tokens
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD
from tests.eager import eager
from tests.oracles.exhaustive_search import PrefixScorer, exhaustive_search, plain_beam_search

seeds = st.integers(0, 9999)
alphas = st.sampled_from([-0.7, 0.0, 0.6, 1.0, 2.0])
limits = st.lists(st.integers(1, 4), min_size=1, max_size=3)


def step_of(table: tf.Tensor) -> Step:
    """Makes a step of a scorer's table; its state is each beam's sentence and node in the tree of prefixes."""
    vocabulary = tf.shape(table)[2]

    def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        child = state.beams * vocabulary + tokens + 1
        node = tf.where(position == 0, 0, child)
        sentence = tf.repeat(state.sentences, tf.size(node) // tf.maximum(1, tf.size(state.sentences)))
        logits = tf.gather_nd(table, tf.stack([sentence, node], axis=1))
        return logits, state._replace(beams=node)

    return step


def first_state(sentences: Any, beam_size: Any) -> SearchState:
    sentences = tf.convert_to_tensor(sentences, tf.int32)
    return SearchState(tf.zeros([tf.size(sentences) * beam_size], tf.int32), sentences)


class Given(NamedTuple):
    """The inputs of a search except the step, as tensors or as their specs."""

    sentences: Any  # int32 [B], as the scorer numbers them
    length_limits: Any  # int32 [B]
    prefixes: Any  # int32 [B, P]
    beam_size: Any  # int32 []
    hypotheses: Any  # int32 []
    length_penalty: Any  # float32 []
    repetition: Repetition


ids, whole, number = (tf.TensorSpec(*of) for of in (([None], tf.int32), ([], tf.int32), ([], tf.float32)))
GIVEN = Given(ids, ids, tf.TensorSpec([None, None], tf.int32), whole, whole, number, Repetition(whole, number))


@tf.function(input_signature=[tf.TensorSpec([None] * 3, tf.float32), GIVEN], autograph=False)
def traced_search(table: tf.Tensor, given: Given) -> Hypotheses:
    """Searches with a scorer's table; traced once for all searches."""
    options = given._asdict()
    return beam_search(step_of(table), first_state(options.pop("sentences"), given.beam_size), **options)


def search(
    scorer: PrefixScorer,
    length_limits: list[int],
    *,
    beam_size: int,
    hypotheses: int = 1,
    sentences: Any = None,
    length_penalty: float = 0.6,
    prefixes: tf.Tensor | None = None,
    repetition: Repetition = NO_RULES,
) -> Hypotheses:
    """Returns the N best hypotheses, which stopping early does not change."""
    given = Given(
        tf.constant(list(range(len(length_limits)) if sentences is None else sentences), tf.int32),
        tf.constant(length_limits, tf.int32),
        tf.zeros([len(length_limits), 0], tf.int32) if prefixes is None else prefixes,
        tf.constant(beam_size),
        tf.constant(hypotheses),
        tf.constant(length_penalty),
        Repetition(*map(tf.constant, repetition)),
    )
    found = traced_search(tf.constant(scorer.table), given)
    return Hypotheses(*(values[:, :hypotheses] for values in found))


def tokens_of(found: Hypotheses, sentence: int) -> list[tuple[int, ...]]:
    """Returns the existing hypotheses of a sentence, without padding."""
    rows = zip(found.tokens[sentence].numpy(), found.lengths[sentence].numpy(), strict=True)
    return [tuple(row[:length].tolist()) for row, length in rows if length]


@settings(max_examples=25, deadline=None)
@given(seed=seeds, alpha=alphas, limits=limits, n=st.integers(1, 5), vocabulary=st.integers(4, 6))
def test_a_beam_wide_enough_finds_what_exhaustive_search_finds(
    seed: int, alpha: float, limits: list[int], n: int, vocabulary: int
) -> None:
    scorer = PrefixScorer(seed, sentences=len(limits), vocabulary=vocabulary, length=4)
    wide = max(5, (vocabulary - 3) ** 3)  # as many as there are prefixes of three tokens
    found = search(scorer, limits, beam_size=wide, length_penalty=alpha, hypotheses=n)
    for sentence, limit in enumerate(limits):
        expected = exhaustive_search(scorer, sentence, limit=limit, alpha=alpha)[:n]
        assert tokens_of(found, sentence) == [e.tokens for e in expected]
        scores = found.scores[sentence, : len(expected)]
        np.testing.assert_allclose(scores, [e.score for e in expected], rtol=1e-5, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=seeds, alpha=alphas, prefixes=st.lists(st.lists(st.integers(4, 5), max_size=3), min_size=1, max_size=3))
def test_hypotheses_are_the_best_that_begin_with_the_prefix(seed: int, alpha: float, prefixes: list[list[int]]) -> None:
    scorer = PrefixScorer(seed, sentences=len(prefixes), vocabulary=6, length=4)
    forced = tf.ragged.constant(prefixes, tf.int32, ragged_rank=1).to_tensor(PAD)
    found = search(scorer, [4] * len(prefixes), beam_size=27, length_penalty=alpha, hypotheses=3, prefixes=forced)
    for sentence, prefix in enumerate(prefixes):
        every = exhaustive_search(scorer, sentence, limit=4, alpha=alpha)
        expected = [e for e in every if list(e.tokens[: len(prefix)]) == prefix][:3]
        assert tokens_of(found, sentence) == [e.tokens for e in expected]
        scores = found.scores[sentence, : len(expected)]
        np.testing.assert_allclose(scores, [e.score for e in expected], rtol=1e-5, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, alpha=alphas, limits=limits, beam_size=st.integers(1, 4), n=st.integers(1, 4))
def test_stopping_early_changes_no_result(seed: int, alpha: float, limits: list[int], beam_size: int, n: int) -> None:
    n = min(n, beam_size)
    scorer = PrefixScorer(seed, sentences=len(limits), vocabulary=6, length=4)
    found = search(scorer, limits, beam_size=beam_size, length_penalty=alpha, hypotheses=n)
    for sentence, limit in enumerate(limits):
        expected = plain_beam_search(scorer, sentence, limit=limit, alpha=alpha, beam_size=beam_size)[:n]
        assert tokens_of(found, sentence) == [e.tokens for e in expected]


def test_the_search_stops_when_no_beam_can_win() -> None:
    steps = []

    def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        steps.append(int(position))
        ends = tf.math.log([0.001, 0.001, 0.001, 0.987, 0.01])
        return tf.tile(ends[tf.newaxis], [tf.shape(tokens)[0], 1]), state

    found = beam_search(step, SearchState(tf.zeros([4])), length_limits=[50, 60], beam_size=2, length_penalty=0.6)
    assert steps == [0]
    assert found.tokens[:, 0, 0].numpy().tolist() == [EOS, EOS]


@settings(max_examples=20, deadline=None)
@given(seed=seeds, limit=st.integers(1, 5))
def test_a_beam_of_one_takes_the_most_probable_token_each_time(seed: int, limit: int) -> None:
    scorer = PrefixScorer(seed, sentences=1, vocabulary=5, length=5)
    rollout: tuple[int, ...] = ()
    while len(rollout) + 1 < limit and EOS not in rollout:
        probabilities = scorer.log_probabilities(0, rollout).copy()
        probabilities[[PAD, BOS]] = -np.inf
        rollout += (int(probabilities.argmax()),)
    if EOS not in rollout:
        rollout += (EOS,)
    found = search(scorer, [limit], beam_size=1)
    assert tokens_of(found, 0) == [rollout]
    np.testing.assert_allclose(found.log_probabilities[0, 0], scorer.log_probability(0, rollout), rtol=1e-5, atol=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, alpha=alphas, order=st.permutations(range(3)), beam_size=st.integers(1, 3))
def test_neither_batch_order_nor_other_sentences_change_a_result(
    seed: int, alpha: float, order: list[int], beam_size: int
) -> None:
    scorer = PrefixScorer(seed, sentences=3, vocabulary=7, length=4)
    limits = [2, 4, 3]
    options = {"beam_size": beam_size, "hypotheses": beam_size, "length_penalty": alpha}
    together = search(scorer, [limits[i] for i in order], sentences=order, **options)
    for row, sentence in enumerate(order):
        alone = search(scorer, [limits[sentence]], sentences=[sentence], **options)
        assert tokens_of(together, row) == tokens_of(alone, 0)
        np.testing.assert_allclose(
            together.scores[row], alone.scores[0], rtol=1e-6
        )  # the rounding of softmax depends on the batch


@settings(max_examples=20, deadline=None)
@given(seed=seeds, alpha=alphas, beam_size=st.integers(1, 4))
def test_the_score_is_that_of_the_returned_tokens(seed: int, alpha: float, beam_size: int) -> None:
    scorer = PrefixScorer(seed, sentences=2, vocabulary=7, length=5)
    found = search(scorer, [5, 4], beam_size=beam_size, hypotheses=beam_size, length_penalty=alpha)
    for sentence in range(2):
        for n, tokens in enumerate(tokens_of(found, sentence)):
            log_probability = scorer.log_probability(sentence, tokens)
            np.testing.assert_allclose(found.log_probabilities[sentence, n], log_probability, rtol=1e-5, atol=1e-6)
            score = log_probability / ((5 + len(tokens)) / 6) ** alpha
            np.testing.assert_allclose(found.scores[sentence, n], score, rtol=1e-5, atol=1e-6)
            by_token = [scorer.log_probabilities(sentence, tokens[:i])[t] for i, t in enumerate(tokens)]
            padding = [0.0] * (5 - len(tokens))
            np.testing.assert_allclose(found.token_log_probabilities[sentence, n], [*by_token, *padding], atol=2e-6)


@settings(max_examples=20, deadline=None)
@given(seed=seeds, alpha=alphas, size=st.integers(1, 3))
def test_hypotheses_are_the_best_without_a_repeated_ngram(seed: int, alpha: float, size: int) -> None:
    scorer = PrefixScorer(seed, sentences=1, vocabulary=6, length=4)
    without = Repetition(no_repeat_ngram_size=size)
    found = search(scorer, [4], beam_size=27, length_penalty=alpha, hypotheses=8, repetition=without)

    def repeats(tokens: tuple[int, ...]) -> bool:
        ngrams = [tokens[i : i + size] for i in range(len(tokens) - size + 1)]
        return len(set(ngrams)) < len(ngrams)

    every = exhaustive_search(scorer, 0, limit=4, alpha=alpha)
    expected = [e for e in every if not repeats(e.tokens)][:8]
    assert tokens_of(found, 0) == [e.tokens for e in expected]
    np.testing.assert_allclose(found.scores[0, : len(expected)], [e.score for e in expected], rtol=1e-5, atol=1e-6)


def test_a_repeated_token_is_less_likely_with_the_penalty() -> None:
    always = tf.constant([[0.0, 0.0, 0.0, -1.0, 2.0, 1.5]])

    def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        return tf.tile(always, [tf.shape(tokens)[0], 1]), state

    options = {"length_limits": [3], "beam_size": 1, "length_penalty": 0.0}
    plain = beam_search(step, SearchState(tf.zeros([1])), **options)
    found = beam_search(step, SearchState(tf.zeros([1])), repetition=Repetition(repetition_penalty=2.0), **options)
    assert plain.tokens[0, 0].numpy().tolist() == [4, 4, EOS]
    assert found.tokens[0, 0].numpy().tolist() == [4, 5, EOS]
    after = tf.math.log_softmax([0.0, 0.0, 0.0, -1.0, 1.0, 1.5])  # 2.0 of token 4 has become 1.0
    np.testing.assert_allclose(found.token_log_probabilities[0, 0, 1], after[5], rtol=1e-6)
    np.testing.assert_allclose(penalize_tokens(tf.constant([[-1.0, 3.0]]), tf.constant([[0]]), 2.0), [[-2.0, 3.0]])


@settings(max_examples=20, deadline=None)
@given(seed=seeds, alpha=alphas, beam_size=st.integers(2, 5))
def test_n_best_hypotheses_are_distinct_and_best_first(seed: int, alpha: float, beam_size: int) -> None:
    scorer = PrefixScorer(seed, sentences=2, vocabulary=7, length=4)
    found = search(scorer, [3, 4], beam_size=beam_size, hypotheses=beam_size, length_penalty=alpha)
    assert np.all(np.diff(found.scores.numpy(), axis=1) <= 0)
    for sentence in range(2):
        hypotheses = tokens_of(found, sentence)
        assert len(set(hypotheses)) == len(hypotheses) == beam_size
        assert all(PAD not in h and BOS not in h and h.index(EOS) == len(h) - 1 for h in hypotheses)


def test_the_last_position_is_forced_to_end_and_its_probability_counts() -> None:
    never_ends = tf.math.log([[0.1, 0.2, 0.1, 0.01, 0.59]])

    def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        return tf.tile(never_ends, [tf.shape(tokens)[0], 1]), state

    found = beam_search(step, SearchState(tf.zeros([2])), length_limits=[3, 1], beam_size=1, length_penalty=0.0)
    assert found.tokens[:, 0].numpy().tolist() == [[4, 4, EOS], [EOS, PAD, PAD]]
    expected = [2 * np.log(0.59) + np.log(0.01), np.log(0.01)]
    np.testing.assert_allclose(found.log_probabilities[:, 0], expected, rtol=1e-5, atol=1e-6)


def test_places_without_a_hypothesis_are_empty_with_score_minus_infinity() -> None:
    found = search(PrefixScorer(1, sentences=1, vocabulary=5, length=2), [1], beam_size=3, hypotheses=3)
    assert found.tokens[0].numpy().tolist() == [[EOS], [PAD], [PAD]]
    assert found.lengths[0].numpy().tolist() == [1, 0, 0]
    assert found.scores[0, 1:].numpy().tolist() == [-np.inf, -np.inf]


def test_no_sentences_give_no_hypotheses() -> None:
    found = search(PrefixScorer(1, sentences=1, vocabulary=5, length=2), [], beam_size=2)
    assert found.tokens.shape == (0, 1, 0)
    assert found.scores.shape == (0, 1)


def test_the_penalty_of_seven_tokens_is_two_to_the_alpha() -> None:
    np.testing.assert_allclose(length_penalties(tf.constant([1, 7]), 1.0), [1.0, 2.0])
    np.testing.assert_allclose(length_penalties(tf.constant([1, 7]), 0.5), [1.0, 2.0**0.5], rtol=1e-6)


class _SearchModule(tf.Module):
    """A search whose number of sentences is known only when it runs."""

    def __init__(self, scorer: PrefixScorer) -> None:
        super().__init__()
        self.scorer = scorer

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.float32)])
    def __call__(self, limits: tf.Tensor, alpha: tf.Tensor) -> dict[str, tf.Tensor]:
        state = first_state(tf.range(tf.size(limits)), 3)
        return beam_search(
            step_of(self.scorer.table),
            state,
            length_limits=limits,
            beam_size=3,
            length_penalty=alpha,
            hypotheses=2,
        )._asdict()


def test_it_traces_with_unknown_batch_shapes_and_survives_a_saved_model(tmp_path: Path) -> None:
    scorer = PrefixScorer(5, sentences=3, vocabulary=6, length=4)
    module = _SearchModule(scorer)
    tf.saved_model.save(module, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    module(tf.constant([2], tf.int32), tf.constant(0.8))
    traces = module.__call__.experimental_get_tracing_count()
    for limits in ([4, 2, 3], [3], []):
        with eager():
            expected = search(scorer, limits, beam_size=3, hypotheses=2, length_penalty=0.8)
        for run in (module, loaded):
            found = run(tf.constant(limits, tf.int32), tf.constant(0.8))
            np.testing.assert_array_equal(found["tokens"][:, :2], expected.tokens)
            np.testing.assert_allclose(found["scores"][:, :2], expected.scores, rtol=1e-6)
    assert module.__call__.experimental_get_tracing_count() == traces


@pytest.mark.parametrize(
    ("beam_size", "hypotheses", "message"),
    [
        (0, 1, "the beam size must be at least 1"),
        (2, 3, "a beam holds no more hypotheses than its size"),
        (2, 0, "there must be at least 1 hypothesis"),
    ],
)
def test_an_impossible_beam_is_refused(beam_size: int, hypotheses: int, message: str) -> None:
    scorer = PrefixScorer(1, sentences=1, vocabulary=5, length=2)
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        search(scorer, [1], beam_size=beam_size, hypotheses=hypotheses)


@pytest.mark.parametrize("beam_size", [1, 3])
def test_a_hypothesis_ends_no_earlier_than_its_minimum_length(beam_size: int) -> None:
    logits = tf.math.log([[0.01, 0.01, 0.01, 0.5, 0.3, 0.17]])  # EOS is always the most probable token

    def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
        return tf.repeat(logits, tf.size(tokens), axis=0), state

    options = {"beam_size": beam_size, "length_penalty": 0.0, "min_tokens": 2}
    found = beam_search(step, first_state([0, 1, 2], beam_size), length_limits=tf.constant([7, 3, 2]), **options)
    best = [[token for token in tokens if token != PAD] for tokens in found.tokens[:, 0].numpy().tolist()]
    assert best == [[4, 4, EOS], [4, 4, EOS], [4, EOS]]  # the limit takes precedence
    expected = [2 * np.log(0.3) + np.log(0.5)] * 2 + [np.log(0.3) + np.log(0.5)]
    np.testing.assert_allclose(found.log_probabilities[:, 0], expected, rtol=1e-5, atol=1e-6)
