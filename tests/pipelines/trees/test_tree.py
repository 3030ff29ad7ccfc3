"""Trees: parsing, writing, and the conventions of the Penn Treebank."""

import pytest
from hypothesis import given

from keras_nmt.pipelines.trees.tree import Leaf, Tree, TreeError, normal_form, parse_tree
from tests.pipelines.trees.strategies import deep_tree, trees

IT_WORKS = Tree("S", (Tree("NP", (Leaf("PRP", "It"),)), Tree("VP", (Leaf("VBZ", "works"),)), Leaf(".", ".")))


def normal(text: str) -> str:
    return str(normal_form(parse_tree(text)))


def test_a_tree_is_parsed_from_any_layout() -> None:
    text = "(S (NP (PRP It)) (VP (VBZ works)) (. .))"
    assert parse_tree(text) == IT_WORKS
    assert parse_tree("\n( S\n   (NP(PRP It))\t(VP\n(VBZ   works ) ) (. .)\r\n)") == IT_WORKS
    assert str(IT_WORKS) == text


def test_labels_are_kept_and_may_be_empty_at_the_root() -> None:
    tree = parse_tree("( (S-TPC-1 (NP=2 (-NONE- *T*-1)) (-LRB- -LRB-)))")
    assert tree == Tree("", (Tree("S-TPC-1", (Tree("NP=2", (Leaf("-NONE-", "*T*-1"),)), Leaf("-LRB-", "-LRB-"))),))


def test_words_are_yielded_from_left_to_right() -> None:
    assert list(IT_WORKS.leaves()) == [Leaf("PRP", "It"), Leaf("VBZ", "works"), Leaf(".", ".")]


def test_a_word_alone_is_a_tree() -> None:
    assert str(parse_tree("(UH Yes)")) == "(TOP (UH Yes))"


@given(trees)
def test_a_written_tree_is_parsed_to_the_same_tree(tree: Tree) -> None:
    assert parse_tree(str(tree)) == tree


def test_trees_with_a_difference_are_unequal() -> None:
    assert parse_tree("(S (NN a))") == parse_tree("(S  (NN a))")
    assert hash(parse_tree("(S (NN a))")) == hash(parse_tree("(S  (NN a))"))
    for other in ("(S (NN b))", "(S (NNS a))", "(X (NN a))", "(S (X (NN a)))", "(S (NN a) (NN a))"):
        assert parse_tree("(S (NN a))") != parse_tree(other)
    assert parse_tree("(S (NN a))") != "(S (NN a))"
    assert repr(parse_tree("(S (NN a))")) == "parse_tree('(S (NN a))')"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "it has no brackets"),
        ("word", "'word' is outside of brackets"),
        ("(S (NN a)", "1 brackets are not closed"),
        ("(S (NN a)))", "a bracket is closed that was not opened"),
        ("(S (NN a)) (S (NN b))", "it goes on after its end"),
        ("(S (NP) (NN a))", "nothing is below NP"),
        ("( ( ) )", "nothing is below an empty label"),
        ("(S (NN two words))", "'words' is not in a bracket of its own"),
        ("(S (NN a) b)", "'b' is not in a bracket of its own"),
        ("(S a (NN b))", "a word and a bracket are both below S"),
    ],
)
def test_a_text_that_is_not_one_tree_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(TreeError) as error:
        parse_tree(text)
    assert str(error.value) == reason


@pytest.mark.parametrize(("tag", "word"), [("", "a"), ("NN", ""), ("NN", "two words"), ("NN", "("), ("N)", "a")])
def test_a_word_that_could_not_be_read_again_is_refused(tag: str, word: str) -> None:
    with pytest.raises(ValueError, match=r"a (tag|word) of a tree must not be empty or have spaces or \( or \), got"):
        Leaf(tag, word)


def test_a_constituent_needs_a_plain_label_and_something_below_it() -> None:
    with pytest.raises(ValueError, match="a constituent NP must have words or constituents below it"):
        Tree("NP", ())
    with pytest.raises(ValueError, match=r"a label of a tree must not have spaces or \( or \), got 'N P'"):
        Tree("N P", (Leaf("NN", "a"),))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("( (S (NP-SBJ-1 (PRP I)) (VP (VBP do))))", "(TOP (S (NP (PRP I)) (VP (VBP do))))"),
        ("(ROOT (NP=2 (NN a)))", "(TOP (NP (NN a)))"),
        ("(S1 (X (NN a)))", "(TOP (X (NN a)))"),
        ("(TOP (NP|X-CLR=3-4 (NN a)))", "(TOP (NP|X (NN a)))"),
        ("(S (PRT|ADVP (RP up)))", "(TOP (S (PRT|ADVP (RP up))))"),
        ("(NP (-LRB- -LRB-) (NN-X a-b=c) (-RRB- -RRB-))", "(TOP (NP (-LRB- -LRB-) (NN a-b=c) (-RRB- -RRB-)))"),
        ("(TOP (NN a) (. .))", "(TOP (NN a) (. .))"),
        (
            "( (S (NP-SBJ (-NONE- *)) (VP (VBD said) (SBAR (-NONE- 0) (S (-NONE- *T*-1)))) (. .)) )",
            "(TOP (S (VP (VBD said)) (. .)))",
        ),
    ],
)
def test_the_conventions_of_the_treebank_are_applied(text: str, expected: str) -> None:
    assert normal(text) == expected


def test_a_tree_of_empty_elements_alone_has_no_normal_form() -> None:
    assert normal_form(parse_tree("( (S (NP-SBJ (-NONE- *)) (VP (-NONE- *?*))))")) is None


@given(trees)
def test_a_normal_form_is_its_own_normal_form(tree: Tree) -> None:
    once = normal_form(tree)
    assert once is None or normal_form(once) == once


@pytest.mark.parametrize("depth", [5_000, 50_000])
def test_a_tree_may_be_deeper_than_the_recursion_limit(depth: int) -> None:
    tree = deep_tree(depth)
    assert str(tree).startswith("(TOP (NP (JJ deep) (NP (JJ deep) (NP")
    again = parse_tree(str(tree))
    assert again == tree
    assert normal_form(again) == tree
    assert sum(1 for _ in again.leaves()) == depth - 1
