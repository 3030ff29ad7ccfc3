import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.search.hypotheses import Hypotheses, SearchState
from keras_nmt.app.decoding.search.tree_search import TreeSymbols, tree_length_limit, tree_search
from keras_nmt.pipelines.trees.linearization import linearize, tree_of
from keras_nmt.pipelines.trees.rests import with_rests
from keras_nmt.pipelines.trees.tree import Tree
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD
from tests.oracles.exhaustive_search import length_penalty
from tests.oracles.rests import without_rests

WORD, TAG, OPENS, CLOSES = 9, 8, (4, 12, 7), (6, 5, 10)
VOCABULARY = 14  # ids 11 and 13 are no actions
NODES = 4093
TABLE = np.random.default_rng(7).normal(scale=2.0, size=(NODES, VOCABULARY)).astype(np.float32)

counts = st.lists(st.sampled_from([0, 1, 2, 7]), min_size=1, max_size=4)
seeds = st.integers(0, NODES - 1)
beam_sizes = st.sampled_from([1, 4, 10])
options = st.fixed_dictionaries(
    {
        "alpha": st.sampled_from([-0.5, 0.0, 0.6, 1.0]),
        "max_opens": st.integers(1, 5),
        "liked": st.lists(st.sampled_from([*OPENS, *CLOSES, WORD, TAG, EOS, 11]), max_size=3),
        "weight": st.sampled_from([0.0, 5.0, 40.0]),
    }
)

ids, whole, number = (tf.TensorSpec(*of) for of in (([None], tf.int32), ([], tf.int32), ([], tf.float32)))


def random_step(bias: Any, tokens: tf.Tensor, position: tf.Tensor, state: SearchState) -> tuple[tf.Tensor, SearchState]:
    """Returns random logits, which depend on all earlier tokens; the state is a hash of the tokens of each beam."""
    node = tf.where(position == 0, state.beams, (state.beams * 131 + tokens) % NODES)
    return tf.gather(TABLE, node) + bias, state._replace(beams=node)


def log_probability(seed: int, tokens: Sequence[int], bias: np.ndarray | float = 0.0) -> float:
    """Returns the log-probability of tokens by `random_step`."""
    node, total = seed, 0.0
    for token in tokens:
        logits = TABLE[node].astype(np.float64) + bias
        total += logits[token] - np.log(np.exp(logits).sum())
        node = (node * 131 + token) % NODES
    return total


class Given(NamedTuple):
    """The inputs of a search, as tensors or as their specs."""

    seeds: Any  # int32 [B]
    words: Any  # int32 [B]
    limits: Any  # int32 [B]
    beam_size: Any = 4
    hypotheses: Any = 1
    max_opens: Any = 5
    alpha: Any = 0.6
    liked: Any = ()  # int32 [N], tokens that become more probable
    weight: Any = 0.0  # by how much


class TreeModule(tf.Module):
    """A search whose sizes are known only when it runs."""

    def __init__(self, labels: int, larger: Sequence[int] = ()) -> None:
        super().__init__()
        self.symbols = TreeSymbols([WORD, TAG], OPENS[:labels], CLOSES[:labels], larger)

    @tf.function(input_signature=[Given(ids, ids, ids, whole, whole, whole, number, ids, number)], autograph=False)
    def search(self, given: Given) -> dict[str, tf.Tensor]:
        bias = given.weight * tf.reduce_sum(tf.one_hot(given.liked, VOCABULARY), axis=0)
        found = tree_search(
            lambda tokens, position, state: random_step(bias, tokens, position, state),
            SearchState(tf.repeat(given.seeds, given.beam_size), given.seeds),
            words=given.words,
            symbols=self.symbols,
            length_limits=given.limits,
            beam_size=given.beam_size,
            length_penalty=given.alpha,
            hypotheses=given.hypotheses,
            max_opens=given.max_opens,
        )
        return found._asdict()


MODULE, TWO_LABELS = TreeModule(3), TreeModule(2)
WITH_RESTS = TreeModule(3, larger=(0, CLOSES[0], 0))  # the second label is the rest of the first


def search(*sentences: Sequence[int], module: Any = MODULE, **options: Any) -> Hypotheses:
    """Returns the N best trees for the seeds, the numbers of words and the length limits of all sentences."""
    given = Given(*sentences, **options)
    tensors = (
        tf.constant(value, spec.dtype) for value, spec in zip(given, MODULE.search.input_signature[0], strict=True)
    )
    found = module.search(Given(*tensors))
    return Hypotheses(**{name: values[:, : given.hypotheses] for name, values in found.items()})


def trees_of(found: Hypotheses, sentence: int) -> list[tuple[int, ...]]:
    """Returns the hypotheses of a sentence, without padding."""
    rows = zip(found.tokens[sentence].numpy(), found.lengths[sentence].numpy(), strict=True)
    return [tuple(row[:length].tolist()) for row, length in rows if length]


def is_tree(tokens: Sequence[int], words: int, max_opens: int) -> bool:
    """Returns True for a tree over the words and EOS: replaces each innermost constituent until the root is left."""
    brackets = {**dict(zip(OPENS, "abc", strict=True)), **dict(zip(CLOSES, "ABC", strict=True))}
    letters = {WORD: "w", TAG: "w", EOS: "$", **brackets}
    text = "".join(letters.get(token, "?") for token in tokens)
    if text.count("w") != words or re.search(f"[abc]{{{max_opens + 1}}}", text):
        return False
    while (reduced := re.sub("a[wn]+A|b[wn]+B|c[wn]+C", "n", text)) != text:
        text = reduced
    return text == ("n$" if words else "$")


@pytest.mark.parametrize(
    ("tokens", "expected"),
    [
        ((4, WORD, 6, EOS), True),
        ((4, 12, TAG, 5, 6, EOS), True),
        ((4, WORD, 12, WORD, 5, 6, EOS), False),  # too many words
        ((4, 12, 5, WORD, 6, EOS), False),  # an empty constituent
        ((4, WORD, 5, EOS), False),  # another label
        ((4, WORD, EOS), False),
        ((4, WORD, 6, 6, EOS), False),
        ((4, WORD, 6, WORD, EOS), False),
        ((WORD, EOS), False),
        ((4, 4, 4, WORD, 6, 6, 6, EOS), False),  # too many brackets one after another
        ((4, WORD, 11, 6, EOS), False),
        ((4, WORD, 6), False),
        ((4, WORD, 6, EOS, EOS), False),
    ],
)
def test_the_checker_knows_a_tree(tokens: tuple[int, ...], expected: bool) -> None:
    assert is_tree(tokens, words=1, max_opens=2) == expected


@settings(max_examples=60, deadline=None)
@given(words=counts, seed=seeds, beam_size=beam_sizes, extra=st.integers(-20, 30), options=options)
def test_every_hypothesis_is_a_tree_over_the_words(
    words: list[int], seed: int, beam_size: int, extra: int, options: dict[str, Any]
) -> None:
    limits = [3 * count + extra for count in words]
    own_seeds = [(seed + i) % NODES for i in range(len(words))]
    found = search(own_seeds, words, limits, beam_size=beam_size, hypotheses=beam_size, **options)
    for sentence, (count, limit) in enumerate(zip(words, limits, strict=True)):
        trees = trees_of(found, sentence)
        assert len(set(trees)) == len(trees) >= 1
        assert all(is_tree(tree, count, options["max_opens"]) for tree in trees)
        assert max(map(len, trees)) <= max(limit, count + 3)


@pytest.mark.parametrize("beam_size", [1, 4, 10])
@pytest.mark.parametrize("liked", [[], [*OPENS], [*CLOSES]])
def test_two_hundred_words_get_a_tree(beam_size: int, liked: list[int]) -> None:
    words = [200, 0, 7]
    limits = tree_length_limit(tf.constant(words), 20).numpy().tolist()
    options = {"beam_size": beam_size, "hypotheses": beam_size, "liked": liked, "weight": 6.0}
    found = search([1, 2, 3], words, limits, **options)
    for sentence, count in enumerate(words):
        trees = trees_of(found, sentence)
        assert trees
        assert all(is_tree(tree, count, 5) for tree in trees)


def forests(words: int, budget: int, labels: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yields all sequences of words and constituents over `words` words, of at most `budget` actions."""
    if words == 0:
        yield ()
        return
    if budget < words:
        return
    for rest in forests(words - 1, budget - 1, labels):
        yield (WORD, *rest)
        yield (TAG, *rest)
    for own in range(1, words + 1):
        for first in constituents(own, budget - (words - own), labels):
            for rest in forests(words - own, budget - len(first), labels):
                yield (*first, *rest)


def constituents(words: int, budget: int, labels: Sequence[int]) -> Iterator[tuple[int, ...]]:
    """Yields all constituents over `words` words, of at most `budget` actions."""
    for inner in forests(words, budget - 2, labels):
        for label in labels:
            yield (OPENS[label], *inner, CLOSES[label])


@settings(max_examples=15, deadline=None)
@given(seed=seeds, alpha=st.sampled_from([-0.5, 0.0, 0.6, 1.0]), limit=st.integers(5, 11), max_opens=st.integers(1, 4))
def test_a_beam_wide_enough_finds_the_best_of_all_trees(seed: int, alpha: float, limit: int, max_opens: int) -> None:
    every = [(*tree, EOS) for tree in constituents(2, limit - 1, labels=(0, 1))]
    every = [tree for tree in every if is_tree(tree, 2, max_opens)]
    scored = [(log_probability(seed, tree) / length_penalty(len(tree), alpha), tree) for tree in every]
    best = sorted(scored, reverse=True)[:5]
    options = {"alpha": alpha, "max_opens": max_opens, "module": TWO_LABELS}
    found = search([seed], [2], [limit], beam_size=400, hypotheses=5, **options)
    assert trees_of(found, 0) == [tree for _, tree in best]
    np.testing.assert_allclose(found.scores[0, : len(best)], [score for score, _ in best], rtol=1e-5, atol=1e-6)


def test_the_number_of_small_trees_is_known() -> None:
    """Over two words with two labels: one bracket in 5 actions; in 7, two brackets: nested, or around either word.

    Each of the words is read in one of two ways.
    """
    assert sum(1 for _ in constituents(2, 4, labels=(0, 1))) == 2 * 4
    assert sum(1 for _ in constituents(2, 6, labels=(0, 1))) == (2 + 3 * 4) * 4


@settings(max_examples=15, deadline=None)
@given(seed=seeds, order=st.permutations(range(4)), beam_size=beam_sizes)
def test_other_sentences_change_no_tree(seed: int, order: list[int], beam_size: int) -> None:
    words, limits = [3, 0, 7, 1], [12, 1, 40, 9]
    options = {"beam_size": beam_size, "hypotheses": beam_size}
    together = search(
        [(seed + i) % NODES for i in order], [words[i] for i in order], [limits[i] for i in order], **options
    )
    for row, i in enumerate(order):
        alone = search([(seed + i) % NODES], [words[i]], [limits[i]], **options)
        assert trees_of(together, row) == trees_of(alone, 0)
        np.testing.assert_allclose(together.scores[row], alone.scores[0], rtol=1e-5, atol=1e-6)


@settings(max_examples=15, deadline=None)
@given(seed=seeds, beam_size=beam_sizes)
def test_the_score_is_the_probability_by_the_model(seed: int, beam_size: int) -> None:
    bias = np.zeros(VOCABULARY)
    bias[11] = 95.0  # no action; so every tree is less probable than float32 can express
    found = search([seed], [3], [15], beam_size=beam_size, liked=[11], weight=95.0, alpha=0.0)
    (tree,) = trees_of(found, 0)
    expected = log_probability(seed, tree, bias)
    assert expected < -500
    np.testing.assert_allclose(found.log_probabilities[0, 0], expected, rtol=1e-5, atol=1e-6)


def test_a_sentence_without_words_ends_at_once() -> None:
    found = search([5], [0], [30], beam_size=4, hypotheses=4)
    assert trees_of(found, 0) == [(EOS,)]


def test_too_small_a_limit_is_raised_to_the_smallest_tree() -> None:
    found = search([5, 6], [4, 1], [2, 1], beam_size=1)
    assert [len(trees_of(found, sentence)[0]) for sentence in range(2)] == [7, 4]
    assert found.tokens.numpy()[1, 0, 4:].tolist() == [PAD] * 3


def test_a_limit_has_room_for_a_bracket_for_each_word() -> None:
    assert tree_length_limit(tf.constant([0, 1, 3, 3]), 4).numpy().tolist() == [4, 7, 13, 13]
    assert tree_length_limit(tf.constant([0, 1, 3]), 0).numpy().tolist() == [1, 4, 9]


def test_the_search_survives_a_saved_model(tmp_path: Path) -> None:
    tf.saved_model.save(MODULE, str(tmp_path))
    loaded = tf.saved_model.load(str(tmp_path))
    words, limits = [7, 0, 2], [40, 4, 12]
    expected = search([1, 2, 3], words, limits)
    found = search([1, 2, 3], words, limits, module=loaded)
    np.testing.assert_array_equal(found.tokens, expected.tokens)
    assert is_tree(trees_of(found, 0)[0], 7, 5)


def test_no_sentences_give_no_trees() -> None:
    assert search([], [], []).tokens.shape[0] == 0


NAMES = {OPENS[0]: "(a", OPENS[1]: "(a+", OPENS[2]: "(b", CLOSES[0]: ")a", CLOSES[1]: ")a+", CLOSES[2]: ")b"}


def built(tokens: Sequence[int]) -> Tree:
    """Returns the tree of the actions, in which the second label is the rest of the first."""
    actions = [NAMES.get(token, "XX") for token in tokens if token != EOS]
    words = actions.count("XX")
    return tree_of(["w"] * words, actions, ["A" if token == WORD else "B" for token in tokens if token in (WORD, TAG)])


def tokens_of(tree: Tree) -> tuple[int, ...]:
    """Returns the actions of a tree, the inverse of `built`."""
    linear, ids = linearize(tree), {name: token for token, name in NAMES.items()}
    words = (WORD if tag == "A" else TAG for tag in linear.tags)
    return (*(next(words) if action == "XX" else ids[action] for action in linear.actions), EOS)


@settings(max_examples=25, deadline=None)
@given(words=counts, seed=seeds, beam_size=beam_sizes, extra=st.integers(-9, 9), options=options)
def test_each_tree_with_rests_is_found_once(
    words: list[int], seed: int, beam_size: int, extra: int, options: dict[str, Any]
) -> None:
    own_seeds = [(seed + i) % NODES for i in range(len(words))]
    limits = [4 * count + extra for count in words]
    found = search(own_seeds, words, limits, module=WITH_RESTS, beam_size=beam_size, hypotheses=beam_size, **options)
    for sentence, count in enumerate(words):
        trees = trees_of(found, sentence)
        assert len(trees) >= 1
        for tree in trees:
            assert is_tree(tree, count, options["max_opens"])
            assert not count or tokens_of(with_rests(without_rests(built(tree)), {"a"})) == tree
        assert len({without_rests(built(tree)) for tree in trees if count}) == (len(trees) if count else 0)


@settings(max_examples=5, deadline=None)
@given(seed=seeds, limit=st.integers(5, 10))
def test_a_beam_wide_enough_finds_the_best_of_all_trees_with_rests(seed: int, limit: int) -> None:
    every = {tokens_of(with_rests(built(tree), {"a"})) for tree in constituents(2, limit - 1, labels=(0, 2))}
    every = {tree for tree in every if (OPENS[0], OPENS[0]) not in pairwise(tree)}  # not rewritten, and never found
    scored = sorted(((log_probability(seed, tree), tree) for tree in every), reverse=True)
    found = search([seed], [2], [limit], module=WITH_RESTS, beam_size=400, hypotheses=5, alpha=0.0, max_opens=9)
    assert trees_of(found, 0) == [tree for _, tree in scored[:5]]


def test_rests_are_found() -> None:
    found = search([3, 4, 5], [6, 6, 6], [30, 30, 30], module=WITH_RESTS, liked=[OPENS[1]], weight=9.0)
    assert any(OPENS[1] in tree for sentence in range(3) for tree in trees_of(found, sentence))
