"""Finds the trees in lines of text: one tree on each line, or over several lines, or several on a line."""

import re
from collections.abc import Iterable, Iterator

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.trees.tree import Tree, TreeError, parse_tree

_PART = re.compile(r"[()]|[^()]+")
_ROOT = re.compile(r"\((?:(?:TOP|ROOT|S1)(?![^\s(])|\s*\()")


def read_trees(lines: Iterable[str], name: str = "the text") -> Iterator[Tree]:
    """Yields the trees in lines, with their labels as they are.

    Args:
        lines: The lines, with or without line ends.
        name: What is read, for messages: the path of the file.

    Raises:
        DataError: A tree is damaged. The message gives the line where it begins.
    """
    for number, text in tree_texts(lines):
        try:
            yield parse_tree(text)
        except TreeError as error:
            raise DataError(f"{name}{damage(number, error)}") from error


def damage(number: int, error: TreeError) -> str:
    """Returns the reason that follows the name of a file: " line 3 begins a damaged tree: …; expected …"."""
    return f" line {number} begins a damaged tree: {error}; expected a tree such as (TOP (S (NP (PRP It)) …))"


def tree_texts(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Yields the text of each tree, and the number of the line where it begins, counted from 1.

    A tree that is not closed ends before a blank line, and before a line that begins with a root: `(TOP`, `(ROOT`,
    `(S1` or `( (`. If all trees so far were on one line each, it ends before any line that begins with a bracket. So
    damage does not spread to the trees that follow. Text outside of brackets is yielded too.
    """
    parts: list[str] = []  # of the tree that is open
    depth = begin = trees = 0
    one_a_line = True
    for number, line in enumerate(lines, start=1):
        if parts and (not line.strip() or _ROOT.match(line) or (one_a_line and trees and line.startswith("("))):
            yield begin, " ".join(parts)
            parts, depth = [], 0
        for part in _PART.findall(line):
            if not depth and part != "(":
                if part.strip():
                    yield number, part
                continue
            begin = begin if depth else number
            parts.append(part)
            depth += {"(": 1, ")": -1}.get(part, 0)
            if not depth:
                yield begin, " ".join(parts)
                parts, trees, one_a_line = [], trees + 1, one_a_line and begin == number
    if parts:
        yield begin, " ".join(parts)
