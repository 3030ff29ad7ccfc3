"""Left-recursive constituents, rewritten with rests of larger ones."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.trees.pieces import larger_piece, rest_labels
from keras_nmt.pipelines.trees.rests import with_rests
from keras_nmt.pipelines.trees.tree import Leaf, Tree, normal_form, parse_tree
from tests.oracles.rests import without_rests
from tests.pipelines.trees.strategies import trees

# Few labels, so that many constituents are left-recursive.
leaves = st.builds(Leaf, st.sampled_from(["A", "NP"]), st.sampled_from("abc"))
recursive = st.recursive(
    leaves,
    lambda below: st.builds(Tree, st.sampled_from(["NP", "VP"]), st.lists(below, min_size=1, max_size=3).map(tuple)),
    max_leaves=15,
).map(lambda child: Tree("TOP", (child,)))


@pytest.mark.parametrize(
    ("plain", "rewritten"),
    [
        ("(TOP (NP (NP (D the) (N cat)) (PP (P on))))", "(TOP (NP (D the) (N cat) (NP+ (PP (P on)))))"),
        ("(TOP (NP (NP (NP (N a)) (N b)) (N c)))", "(TOP (NP (N a) (NP+ (N b)) (NP+ (N c))))"),
        ("(TOP (NP (NP (N a)) (NP (NP (N b)) (N c))))", "(TOP (NP (N a) (NP+ (NP (N b) (NP+ (N c))))))"),
        ("(TOP (NP (NP (N a))))", "(TOP (NP (NP (N a))))"),  # nothing follows
        ("(TOP (NP (VP (N a)) (N b)))", "(TOP (NP (VP (N a)) (N b)))"),
        ("(TOP (NP (N a) (NP (N b))))", "(TOP (NP (N a) (NP (N b))))"),
        ("(TOP (NP (NP a) (N b)))", "(TOP (NP (NP a) (N b)))"),  # a tag is no constituent
    ],
)
def test_what_follows_a_constituent_becomes_a_rest_within_it(plain: str, rewritten: str) -> None:
    assert str(with_rests(parse_tree(plain))) == rewritten
    assert str(without_rests(parse_tree(rewritten))) == plain


@settings(max_examples=60, deadline=None)
@given(tree=recursive)
def test_a_rewritten_tree_comes_back(tree: Tree) -> None:
    rewritten = with_rests(tree)
    assert without_rests(rewritten) == tree
    assert list(rewritten.leaves()) == list(tree.leaves())


@settings(max_examples=30, deadline=None)
@given(tree=trees)
def test_a_tree_with_any_labels_comes_back_from_its_normal_form(tree: Tree) -> None:
    normal = normal_form(tree)
    assert normal is None or without_rests(with_rests(normal)) == normal


def test_only_constituents_with_the_given_labels_are_rewritten() -> None:
    tree = parse_tree("(TOP (S (S (NP (NP (N a)) (N b))) (N c)))")
    assert str(with_rests(tree, {"S"})) == "(TOP (S (NP (NP (N a)) (N b)) (S+ (N c))))"
    assert with_rests(tree, ()) == tree


def test_a_deep_tree_is_rewritten_without_recursion() -> None:
    tree = Tree("NP", (Leaf("N", "a"),))
    for _ in range(3000):
        tree = Tree("NP", (tree, Leaf("N", "b")))
    rewritten = with_rests(Tree("TOP", (tree,)))
    (below,) = rewritten.children
    assert isinstance(below, Tree)
    assert len(below.children) == 3001


def test_a_plus_at_the_end_of_a_label_is_cut() -> None:
    tree = normal_form(parse_tree("(TOP (S+VP+ (NP++ (N+ a))))"))
    assert str(tree) == "(TOP (S+VP (NP (N+ a))))"
    assert str(normal_form(parse_tree("(TOP (+ (A a)))"))) == "(TOP (+ (A a)))"


def test_the_pieces_of_rests() -> None:
    assert rest_labels(["<XX>", "<(NP>", "<)NP>", "<(NP+>", "<)NP+>", "<(S+VP>", "+>"]) == {"NP"}
    assert larger_piece("<(NP+>") == "<(NP>"
    assert larger_piece("<(NP>") is None
