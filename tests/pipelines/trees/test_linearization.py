"""Trees become actions and actions become trees."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_nmt.pipelines.trees.linearization import is_well_formed, linearize, tree_of
from keras_nmt.pipelines.trees.tree import Tree, parse_tree
from tests.pipelines.trees.strategies import deep_tree, trees

ACTIONS = "(S (NP XX )NP (VP XX )VP XX )S"


def actions(text: str) -> str:
    return " ".join(linearize(parse_tree(text)).actions)


def fault(written: str, words: int = 2, tags: list[str] | None = None) -> str:
    with pytest.raises(ValueError, match=r".") as error:
        tree_of(["w"] * words, written.split(), tags)
    return str(error.value)


def test_a_tree_becomes_words_tags_and_actions() -> None:
    found = linearize(parse_tree("(TOP (S (NP (PRP It)) (VP (VBZ works)) (. .)))"))
    assert found.words == ("It", "works", ".")
    assert found.tags == ("PRP", "VBZ", ".")
    assert found.actions == tuple(ACTIONS.split())


def test_the_root_is_left_out_if_it_has_one_constituent() -> None:
    assert actions("(TOP (S (NN a)))") == actions("( (S (NN a)))") == actions("(ROOT (S (NN a)))") == "(S XX )S"
    assert actions("(S1 (S (NN a)))") == actions("(S (NN a))") == "(S XX )S"
    assert actions("(TOP (NN a))") == "(TOP XX )TOP"
    assert actions("(ROOT (NP (NN a)) (. .))") == "(TOP (NP XX )NP XX )TOP"


def test_the_root_is_put_back() -> None:
    assert str(tree_of(["a"], ["(S", "XX", ")S"], ["NN"])) == "(TOP (S (NN a)))"
    assert str(tree_of(["a"], ["(TOP", "XX", ")TOP"], ["NN"])) == "(TOP (NN a))"


def test_a_word_without_a_tag_has_the_tag_xx() -> None:
    assert str(tree_of(["It", "works", "."], ACTIONS.split())) == "(TOP (S (NP (XX It)) (VP (XX works)) (XX .)))"


@given(trees)
def test_a_linearized_tree_comes_back(tree: Tree) -> None:
    found = linearize(tree)
    assert tree_of(found.words, found.actions, found.tags) == tree
    assert is_well_formed(found.actions, found.words)


@given(trees, st.data())
def test_a_tree_without_one_of_its_actions_is_not_well_formed(tree: Tree, data: st.DataObject) -> None:
    found = linearize(tree)
    left_out = data.draw(st.integers(0, len(found.actions) - 1))
    assert not is_well_formed(found.actions[:left_out] + found.actions[left_out + 1 :], found.words)


def test_a_deep_tree_comes_back() -> None:
    tree = deep_tree(5_000)
    found = linearize(tree)
    assert len(found.actions) == 2 * 4_999 + 4_999
    assert tree_of(found.words, found.actions, found.tags) == tree


@pytest.mark.parametrize(
    ("written", "reason"),
    [
        ("", "there are no actions; a tree has at least an opening, a word and a close"),
        ("XX", "action 1, 'XX', does not open the root"),
        (")S", "action 1, ')S', does not open the root"),
        ("(S XX XX", "the actions end before )S"),
        ("(S XX XX )NP", "action 4, ')NP', closes another constituent; expected )S"),
        ("(S (NP )NP XX XX )S", "action 3, ')NP', closes a constituent without words"),
        ("(S XX )S", "the actions leave 1 of 2 words out"),
        ("(S XX XX XX )S", "action 4, 'XX', stands for a word, but no word is left"),
        ("(S XX XX )S )S", "action 5, ')S', comes after the end of the tree"),
        ("(S XX )S (S XX )S", "action 4, '(S', comes after the end of the tree"),
        ("(S NP XX XX )S", "action 2, 'NP', is none of (LABEL, XX and )LABEL"),
    ],
)
def test_actions_that_are_no_tree_are_refused_with_the_reason(written: str, reason: str) -> None:
    assert fault(written) == reason
    assert not is_well_formed(written.split(), ["w", "w"])


def test_tags_must_be_as_many_as_words() -> None:
    assert fault("(S XX XX )S", tags=["NN"]) == "expected a tag for each of 2 words, got 1"
