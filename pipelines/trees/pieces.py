"""The pieces of a vocabulary that stand for the actions of trees.

`<(NP>` and `<)NP>` open and close a constituent, `<(NP+>` and `<)NP+>` the rest of a larger one (see `with_rests`).
`<XX>` reads a word, and `<XX:NN>` reads a word with the tag NN.
"""

from collections.abc import Iterable

from keras_nmt.pipelines.trees.linearization import WORD
from keras_nmt.pipelines.trees.rests import REST

WORD_PIECE = f"<{WORD}>"
_OPENING = "<("
_TAGGED = f"<{WORD}:"


def piece_of(action: str) -> str:
    """Returns the piece of an action, such as `<(NP>` for `(NP`."""
    return f"<{action}>"


def tag_piece(tag: str) -> str:
    """Returns the piece that reads a word with a tag, such as `<XX:NN>`."""
    return f"{_TAGGED}{tag}>"


def is_tag(piece: str) -> bool:
    """Returns True if a piece reads a word and gives its tag."""
    return piece.startswith(_TAGGED) and piece.endswith(">")


def is_word(piece: str) -> bool:
    """Returns True if a piece reads a word, with a tag or without."""
    return piece == WORD_PIECE or is_tag(piece)


def is_opening(piece: str) -> bool:
    """Returns True if a piece opens a constituent."""
    return piece.startswith(_OPENING) and piece.endswith(">")


def closing_piece(opening: str) -> str:
    """Returns the piece that closes the constituent that the piece `opening` opens."""
    return f"<){opening[len(_OPENING) :]}"


def rest_labels(pieces: Iterable[str]) -> frozenset[str]:
    """Returns the labels whose constituents have rests in a vocabulary: NP, if there is a piece `<(NP+>`."""
    end = f"{REST}>"
    return frozenset(piece[len(_OPENING) : -len(end)] for piece in pieces if is_opening(piece) and piece.endswith(end))


def larger_piece(opening: str) -> str | None:
    """Returns the piece `<(NP>` for `<(NP+>`, which opens the rest of a larger NP; None for a piece without a +."""
    return f"{opening[: -len(REST) - 1]}>" if opening.endswith(f"{REST}>") else None
