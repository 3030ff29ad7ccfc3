"""Linearizes trees to actions, as in Vinyals et al. 2015 (Grammar as a Foreign Language), and builds trees of actions.

An action opens a constituent (`(NP`), stands for the next word (`XX`), or closes a constituent (`)NP`). Words and tags
are not part of the actions. The root `TOP` is left out if it has one constituent below it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from keras_nmt.pipelines.trees.tree import ROOTS, TOP, Leaf, Tree, with_top

WORD = "XX"


@dataclass(frozen=True)
class Linearization:
    """A tree as sequences.

    Attributes:
        words: The words of the sentence.
        tags: The tag of each word.
        actions: The actions that build the tree; as many are `XX` as there are words.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    actions: tuple[str, ...]


def linearize(tree: Tree) -> Linearization:
    """Linearizes a tree.

    `(TOP (S (NP (PRP It)) (VP (VBZ works))))` becomes the words `It works`, the tags `PRP VBZ` and the actions
    `(S (NP XX )NP (VP XX )VP )S`. A root `ROOT`, `S1` or with an empty label counts as `TOP`.
    """
    leaves = list(tree.leaves())
    return Linearization(
        words=tuple(leaf.word for leaf in leaves),
        tags=tuple(leaf.tag for leaf in leaves),
        actions=tuple(_actions(_below_top(tree))),
    )


def tree_of(words: Sequence[str], actions: Sequence[str], tags: Sequence[str] | None = None) -> Tree:
    """Builds the tree of words and actions; the inverse of `linearize` for trees with the root `TOP`.

    Args:
        words: The words of the sentence.
        actions: The actions, without a mark for the end of the sentence.
        tags: The tag of each word; if None, each is `XX`.

    Raises:
        ValueError: The actions do not build exactly one tree over exactly these words, or the tags do not fit.
    """
    if tags is not None and len(tags) != len(words):
        raise ValueError(f"expected a tag for each of {len(words)} words, got {len(tags)}")
    leaves = iter([Leaf(tag, word) for tag, word in zip(tags or [WORD] * len(words), words, strict=True)])
    open_nodes: list[tuple[str, list[Tree | Leaf]]] = [("", [])]
    for number, action in enumerate(actions, start=1):
        if len(open_nodes) == 1 and (number > 1 or not action.startswith("(")):
            reason = "comes after the end of the tree" if number > 1 else "does not open the root"
            raise ValueError(f"action {number}, {action!r}, {reason}")
        _apply(action, number, open_nodes, leaves)
    if len(open_nodes) > 1:
        raise ValueError(f"the actions end before ){open_nodes[-1][0]}")
    if not open_nodes[0][1]:
        raise ValueError("there are no actions; a tree has at least an opening, a word and a close")
    if left := sum(1 for _ in leaves):
        raise ValueError(f"the actions leave {left} of {len(words)} words out")
    return with_top(open_nodes[0][1][0])


def untagged(tree: Tree) -> Tree:
    """Returns the tree, with the root `TOP`, in which the tag of each word is `XX`."""
    linear = linearize(tree)
    return tree_of(linear.words, linear.actions)


def is_well_formed(actions: Sequence[str], words: Sequence[str]) -> bool:
    """Returns True if the actions build exactly one tree over exactly these words."""
    try:
        tree_of(words, actions)
    except ValueError:
        return False
    return True


def _below_top(tree: Tree) -> Tree:
    """Returns the constituent below the root if `tree_of` can put the root back; else the tree with the root `TOP`."""
    if tree.label not in ROOTS:
        return tree
    only = tree.children[0]
    if len(tree.children) == 1 and isinstance(only, Tree) and only.label not in ROOTS:
        return only
    return Tree(TOP, tree.children)


def _actions(tree: Tree) -> Iterator[str]:
    for node in tree.walk():
        if isinstance(node, Leaf):
            yield WORD
        else:
            yield f"({node.label}" if isinstance(node, Tree) else f"){node.label}"


def _apply(action: str, number: int, open_nodes: list[tuple[str, list[Tree | Leaf]]], leaves: Iterator[Leaf]) -> None:
    """Applies one action to the stack of open constituents, each a label and its children."""
    if action.startswith("("):
        open_nodes.append((action[1:], []))
    elif action == WORD:
        leaf = next(leaves, None)
        if leaf is None:
            raise ValueError(f"action {number}, {action!r}, stands for a word, but no word is left")
        open_nodes[-1][1].append(leaf)
    elif action.startswith(")"):
        label, children = open_nodes.pop()
        if action[1:] != label:
            raise ValueError(f"action {number}, {action!r}, closes another constituent; expected ){label}")
        if not children:
            raise ValueError(f"action {number}, {action!r}, closes a constituent without words")
        open_nodes[-1][1].append(Tree(label, tuple(children)))
    else:
        raise ValueError(f"action {number}, {action!r}, is none of (LABEL, {WORD} and )LABEL")
