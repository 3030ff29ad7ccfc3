"""A constituency tree in the bracketed form of the Penn Treebank: `(TOP (S (NP (PRP It)) (VP (VBZ works)) (. .)))`.

No function here recurses, because a tree may be deeper than Python's recursion limit. Files of trees are read by
`pipelines.trees.reading`.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

TOP = "TOP"
ROOTS = frozenset({TOP, "ROOT", "S1", ""})  # labels of the bracket around a whole sentence, by treebank
_EMPTY_ELEMENT = "-NONE-"
_TOKEN = re.compile(r"[()]|[^()\s]+")
_SEPARATOR = re.compile(r"[()\s]")


class TreeError(ValueError):
    """A text is not a tree. The message is the reason in one line."""


@dataclass(frozen=True, slots=True)
class Leaf:
    """A word with its part of speech.

    Raises:
        ValueError: The tag or the word is empty, or contains white space or a bracket.
    """

    tag: str
    word: str

    def __post_init__(self) -> None:
        for name, text in (("tag", self.tag), ("word", self.word)):
            if not text or _SEPARATOR.search(text):
                raise ValueError(f"a {name} of a tree must not be empty or have spaces or ( or ), got {text!r}")

    def __str__(self) -> str:
        return f"({self.tag} {self.word})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Tree:
    """A constituent: a label, and at least one word or constituent below it. The label of a root may be empty.

    Raises:
        ValueError: There is no child, or the label contains white space or a bracket.
    """

    label: str
    children: tuple["Tree | Leaf", ...]

    def __post_init__(self) -> None:
        if _SEPARATOR.search(self.label):
            raise ValueError(f"a label of a tree must not have spaces or ( or ), got {self.label!r}")
        if not self.children:
            raise ValueError(f"a constituent {self.label} must have words or constituents below it")

    def walk(self) -> "Iterator[Tree | Leaf | End]":
        """Yields every constituent before its children, every word, and an `End` after the children."""
        waiting: list[Tree | Leaf | End] = [self]
        while waiting:
            node = waiting.pop()
            yield node
            if isinstance(node, Tree):
                waiting.append(End(node.label))
                waiting.extend(reversed(node.children))

    def leaves(self) -> Iterator[Leaf]:
        """Yields the words with their tags, from left to right."""
        return (node for node in self.walk() if isinstance(node, Leaf))

    def __str__(self) -> str:
        parts: list[str] = []
        for node in self.walk():
            parts.append(")" if isinstance(node, End) else f" ({node.label}" if isinstance(node, Tree) else f" {node}")
        return "".join(parts)[1:]

    def __repr__(self) -> str:
        return f"parse_tree({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return str(self) == str(other) if isinstance(other, Tree) else NotImplemented

    def __hash__(self) -> int:
        return hash(str(self))


@dataclass(frozen=True, slots=True)
class End:
    """The end of a constituent in `Tree.walk`."""

    label: str


def parse_tree(text: str) -> Tree:
    """Parses one tree, which may be spread over lines. Labels are kept as they are; see `normal_form`.

    A text that is only a word with its tag, `(UH Yes)`, becomes `(TOP (UH Yes))`.

    Raises:
        TreeError: The text is not exactly one tree.
    """
    builder = _Builder()
    opened = False  # the token before was "(", so the next may be a label
    for token in _TOKEN.findall(text):
        if token == "(":
            builder.open()
        elif token == ")":
            builder.close()
        else:
            builder.add(token, is_label=opened)
        opened = token == "("
    return builder.result()


def normal_form(tree: Tree) -> Tree | None:
    """Applies the usual conventions of parsing to a tree as it is in a treebank.

    Empty elements (`-NONE-`) are removed, with the constituents that have no word without them. Function tags and
    indices are cut from labels and tags: `NP-SBJ-1` and `NP=2` become `NP`, while `-LRB-` stays as it is. A + at the
    end of a label is cut too, because `with_rests` gives it a meaning. The root is `TOP`: in place of `ROOT`, `S1` or
    an empty label, or around any other constituent.

    Returns:
        The tree, or None if it has no word.
    """
    open_nodes: list[tuple[str, list[Tree | Leaf]]] = [("", [])]
    for node in tree.walk():
        if isinstance(node, Tree):
            open_nodes.append((_without_plus(_without_function(node.label)), []))
        elif isinstance(node, End):
            label, children = open_nodes.pop()
            if children:
                open_nodes[-1][1].append(Tree(label, tuple(children)))
        elif node.tag != _EMPTY_ELEMENT:
            open_nodes[-1][1].append(Leaf(_without_function(node.tag), node.word))
    found = open_nodes[0][1]
    return with_top(found[0]) if found else None


def with_top(node: Tree | Leaf) -> Tree:
    """Returns a tree with the root `TOP`: in place of another label of `ROOTS`, or as a new root."""
    return Tree(TOP, node.children if isinstance(node, Tree) and node.label in ROOTS else (node,))


def _without_function(label: str) -> str:
    return label if label[:1] in ("-", "=") else re.split("[-=]", label, maxsplit=1)[0]


def _without_plus(label: str) -> str:
    return label.rstrip("+") or label


class _Builder:
    """Builds a tree from its tokens."""

    def __init__(self) -> None:
        self._open: list[_Bracket] = []
        self._root: Tree | Leaf | None = None

    def open(self) -> None:
        if self._root:
            raise TreeError("it goes on after its end")
        if self._open and self._open[-1].word:
            raise TreeError(f"a word and a bracket are both below {self._open[-1].label}")
        self._open.append(_Bracket())

    def add(self, token: str, *, is_label: bool) -> None:
        if not self._open:
            raise TreeError(f"{token!r} is outside of brackets")
        bracket = self._open[-1]
        if is_label:
            bracket.label = token
        elif bracket.word or bracket.children:
            raise TreeError(f"{token!r} is not in a bracket of its own")
        else:
            bracket.word = token

    def close(self) -> None:
        if not self._open:
            raise TreeError("a bracket is closed that was not opened")
        node = self._open.pop().node()
        if self._open:
            self._open[-1].children.append(node)
        else:
            self._root = node

    def result(self) -> Tree:
        if self._open:
            raise TreeError(f"{len(self._open)} brackets are not closed")
        if self._root is None:
            raise TreeError("it has no brackets")
        return self._root if isinstance(self._root, Tree) else Tree(TOP, (self._root,))


class _Bracket:
    """A bracket that is being read."""

    def __init__(self) -> None:
        self.label = ""
        self.word = ""
        self.children: list[Tree | Leaf] = []

    def node(self) -> Tree | Leaf:
        if self.word:
            return Leaf(self.label, self.word)
        if not self.children:
            raise TreeError(f"nothing is below {self.label or 'an empty label'}")
        return Tree(self.label, tuple(self.children))
