"""Treebanks, `trees:FILE`: constituency trees in brackets, of which the source is the words and the target the tree."""

from collections.abc import Iterator
from functools import partial
from itertools import chain

from keras_nmt.pipelines.sources.corpus import Corpus, CorpusRequest, Malformed, RawPair
from keras_nmt.pipelines.sources.files import display_name, raw_lines
from keras_nmt.pipelines.sources.locating import locate
from keras_nmt.pipelines.trees.linearization import untagged
from keras_nmt.pipelines.trees.reading import damage, tree_texts
from keras_nmt.pipelines.trees.tree import TreeError, normal_form, parse_tree


def open_trees(request: CorpusRequest) -> Corpus:
    """Opens `trees:FILE`. A tree may be on one line or over several, and a line may have several trees.

    Without `request.pos`, each word has the tag `XX`.
    """
    found = locate(request, "trees such as (TOP (S (NP (PRP It)) (VP (VBZ works))))")
    origin = {"kind": "trees", "spec": request.spec, "files": [file.describe() for file in found]}
    identity = ("trees", str(request.pair), request.pos, [file.identify() for file in found])
    read = partial(read_file, pos=request.pos)
    return Corpus(request.spec, origin, identity, lambda: chain.from_iterable(read(file.path) for file in found))


def read_file(path: str, *, pos: bool = True) -> Iterator[RawPair]:
    """Yields the words of each tree, joined by spaces, and the tree in one line in its `normal_form`.

    With `pos`, words keep their part of speech; otherwise it is `XX`.
    A damaged tree is yielded as malformed, and a tree without words as an empty pair.
    """
    lines = (_text(line) for line in raw_lines(path))
    for number, text in tree_texts(lines):
        try:
            tree = normal_form(parse_tree(text))
        except TreeError as error:
            yield RawPair(_bytes(text), b"", malformed=Malformed(display_name(path), damage(number, error)))
        else:
            words = " ".join(leaf.word for leaf in tree.leaves()) if tree else ""
            tree = tree if pos or not tree else untagged(tree)
            yield RawPair(_bytes(words), _bytes(str(tree or "")))


def _text(line: bytes) -> str:
    return line.decode(errors="surrogateescape")


def _bytes(text: str) -> bytes:
    """Encodes text; bytes that were not UTF-8 come back as they were, so cleaning drops and counts the pair."""
    return text.encode(errors="surrogateescape")
