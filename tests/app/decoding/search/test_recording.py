"""The recorded candidates of a search, of plain text and of trees."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.search.beam_search import beam_search
from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState
from keras_nmt.app.decoding.search.recording import NO_PARENT, RecordedHypotheses, recorded
from keras_nmt.app.decoding.search.tree_search import TreeSymbols, tree_search
from keras_nmt.pipelines.vocabulary.tokenizer import EOS

BEAMS, VOCABULARY = 3, 13
SYMBOLS = TreeSymbols(words=[4], opens=[5, 6, 7], closes=[8, 9, 10])
TABLE = np.random.default_rng(2).normal(size=(9, VOCABULARY, VOCABULARY)).astype("float32")


def step(tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
    return tf.gather(tf.constant(TABLE)[position % len(TABLE)], tokens), state


def plain(**changes: Any) -> Hypotheses:
    return beam_search(step, SearchState(tf.zeros([BEAMS])), length_limits=tf.constant([7]), **changes)


def trees(**changes: Any) -> Hypotheses:
    state = SearchState(tf.zeros([BEAMS]))
    sizes = {"words": tf.constant([3]), "symbols": SYMBOLS, "length_limits": tf.constant([14])}
    return tree_search(step, state, **sizes, **changes)


@pytest.fixture(scope="module", params=[plain, trees], ids=lambda search: search.__name__)
def both(request: pytest.FixtureRequest) -> tuple[Hypotheses, RecordedHypotheses]:
    """What a search finds, and what it finds while it is recorded."""

    @tf.function(autograph=False)
    def search() -> tuple[Hypotheses, RecordedHypotheses]:
        how = {"beam_size": BEAMS, "length_penalty": 0.6}
        return request.param(**how), recorded(lambda **run: request.param(**how, **run))

    return search()


def test_a_recorded_search_finds_the_same(both: tuple[Hypotheses, RecordedHypotheses]) -> None:
    expected, (found, candidates) = both
    for own, its in zip(found, expected, strict=True):
        np.testing.assert_array_equal(own, its)
    ended = candidates.log_probabilities.numpy()[candidates.newest.numpy() == EOS]
    assert found.log_probabilities.numpy()[0, 0] in ended


def test_a_candidate_is_its_parent_and_one_token(both: tuple[Hypotheses, RecordedHypotheses]) -> None:
    tokens, newest, sums, parents = (values.numpy() for values in both[1].candidates)
    assert np.all(parents[0] == NO_PARENT)
    children = 0
    for number in range(len(tokens)):
        for candidate, parent in enumerate(parents[number]):
            if sums[number, candidate] == -np.inf:
                assert parent == NO_PARENT
                continue
            assert tokens[number, candidate, number] == newest[number, candidate]
            assert not tokens[number, candidate, number + 1 :].any()
            if number:
                assert tokens[number, candidate, :number].tolist() == tokens[number - 1, parent, :number].tolist()
                assert newest[number - 1, parent] != EOS
                step_sum = sums[number, candidate] - sums[number - 1, parent]
                logits = TABLE[number % len(TABLE), newest[number - 1, parent]].astype(float)
                expected = logits[newest[number, candidate]] - np.log(np.exp(logits).sum())
                assert step_sum == pytest.approx(expected, abs=1e-4)
                children += 1
    assert children > 2 * BEAMS
