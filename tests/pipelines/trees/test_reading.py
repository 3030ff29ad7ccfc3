"""Trees are found in lines of any layout, and damage does not spread."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.trees.reading import read_trees, tree_texts
from keras_nmt.pipelines.trees.tree import Tree
from tests.pipelines.trees.strategies import trees

A, B, C = "(TOP (NP (NN a)))", "(TOP (NP (NN b)))", "(TOP (NP (NN c)))"


def read(*lines: str) -> list[str]:
    return [str(tree) for tree in read_trees(lines)]


def found(*lines: str) -> list[tuple[int, str]]:
    return [(number, "".join(text.split())) for number, text in tree_texts(lines)]


def test_trees_may_share_a_line_or_span_several() -> None:
    assert read(A + "\n", B + "\n") == [A, B]
    assert read(f"{A} {B}{C}") == [A, B, C]
    assert read("", "(TOP", "  (NP", "    (NN a)))", "", B, "") == [A, B]
    assert read("(TOP (NP", "(NN a))) (TOP (NP", "(NN b)", "))") == [A, B]
    assert read() == read("", "  \n") == []


def test_a_word_and_its_tag_may_be_on_different_lines() -> None:
    assert read("(TOP (NP (NN", "a)))") == [A]


@given(st.lists(trees, max_size=4), st.sampled_from([" ", "\n", " \n  "]))
def test_every_tree_is_found_in_order(given_trees: list[Tree], space: str) -> None:
    lines = space.join(str(tree).replace(" ", space) for tree in given_trees).split("\n")
    roots = [line for line in lines if line in ("(TOP", "(ROOT", "(S1")]
    assume(space != "\n" or len(roots) == len(given_trees))  # a root in a line's first column begins a tree
    assert list(read_trees(lines)) == given_trees


@pytest.mark.parametrize(
    ("lines", "where"),
    [
        (["(TOP (NP (NN a))", B, C], [1, 2, 3]),
        ([A, "(S (NN", "(S (NN b))", "(S (NN c))"], [1, 2, 3, 4]),
        (["( (S", "   (NP (NN a))", "( (S", "   (NN b)))", C], [1, 3, 5]),
        (["(S (NN a)", "", "(S", "(NN b))"], [1, 3]),
        ([A, B + ")", C], [1, 2, 2, 3]),
        ([A, "no tree", C], [1, 2, 3]),
        (["(S", "(NN a)", "(NN b))", "(S", "(NN c))"], [1, 4]),
        ([A, "(S (NN b)"], [1, 2]),
    ],
)
def test_the_tree_after_a_damaged_one_begins_on_its_own_line(lines: list[str], where: list[int]) -> None:
    assert [number for number, _ in tree_texts(lines)] == where


def test_a_damaged_tree_is_reported_with_the_line_where_it_begins() -> None:
    message = (
        r"^dev\.trees line 3 begins a damaged tree: 1 brackets are not closed; "
        r"expected a tree such as \(TOP \(S \(NP \(PRP It\)\) …\)\)$"
    )
    reader = read_trees([A, "", "(TOP", " (NP (NN b))", C], "dev.trees")
    assert str(next(reader)) == A
    with pytest.raises(DataError, match=message):
        next(reader)


def test_text_outside_of_trees_is_damage() -> None:
    assert found(f"{A} end", B) == [(1, "(TOP(NP(NNa)))"), (1, "end"), (2, "(TOP(NP(NNb)))")]
    with pytest.raises(DataError, match="line 1 begins a damaged tree: 'end' is outside of brackets"):
        read(f"{A} end")
