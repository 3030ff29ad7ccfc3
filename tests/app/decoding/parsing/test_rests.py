"""Rests of larger constituents in the graph equal those of the functions on trees."""

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.parsing import rests
from keras_nmt.app.decoding.parsing.text import bracketed
from keras_nmt.app.tasks.parsing import action_pieces
from keras_nmt.pipelines.trees.rests import with_rests
from keras_nmt.pipelines.trees.tree import Tree
from tests.pipelines.trees.test_rests import recursive

few = settings(max_examples=10, deadline=None, derandomize=True)
forests = st.lists(recursive, min_size=1, max_size=3)


def padded(rows: list[list[str]]) -> tf.Tensor:
    return tf.ragged.constant(rows).to_tensor("")


def texts_of(trees: list[Tree]) -> tf.Tensor:
    return tf.constant([" ".join(leaf.word for leaf in tree.leaves()) for tree in trees])


@few
@given(trees=forests, labels=st.sets(st.sampled_from(["NP", "VP", "X"]), min_size=1))
def test_actions_are_rewritten_like_trees(trees: list[Tree], labels: set[str]) -> None:
    found = rests.with_rests(padded([action_pieces(tree) for tree in trees]), labels)
    expected = [action_pieces(with_rests(tree, labels)) for tree in trees]
    assert [text.decode().split() for text in found.numpy()] == expected


@few
@given(trees=forests)
def test_rests_are_written_as_larger_constituents(trees: list[Tree]) -> None:
    pieces = padded([[*action_pieces(with_rests(tree)), "</s>"] for tree in trees])
    written = bracketed(texts_of(trees), tf.stack([pieces, pieces], axis=1))
    expected = [str(tree) for tree in trees]
    for column in range(2):
        assert [text.decode() for text in written[:, column].numpy()] == expected


def test_no_tree_is_written_for_no_actions() -> None:
    found = bracketed(tf.constant(["", "a"]), padded([["</s>"], ["<(NP>", "<XX:N>", "<)NP>", "</s>"]])[:, tf.newaxis])
    assert found.numpy().tolist() == [[b""], [b"(TOP (NP (N a)))"]]


def test_a_label_with_a_plus_in_another_constituent_is_no_rest() -> None:
    pieces = padded([["<(S>", "<XX:A>", "<(V+>", "<XX:B>", "<)V+>", "<)S>"], ["<(V+>", "<XX:A>", "<)V+>"]])
    found = bracketed(tf.constant(["a b", "a"]), pieces[:, tf.newaxis])
    assert found.numpy().tolist() == [[b"(TOP (S (A a) (V+ (B b))))"], [b"(TOP (V+ (A a)))"]]
