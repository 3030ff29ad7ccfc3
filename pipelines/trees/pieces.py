"""The pieces of a vocabulary that stand for the actions of trees: `<XX>`, `<(NP>`, `<)NP>` and so on."""

from keras_nmt.pipelines.trees.linearization import WORD

WORD_PIECE = f"<{WORD}>"
_OPENING = "<("


def piece_of(action: str) -> str:
    """Returns the piece of an action, such as `<(NP>` for `(NP`."""
    return f"<{action}>"


def is_opening(piece: str) -> bool:
    """Returns True if a piece opens a constituent."""
    return piece.startswith(_OPENING) and piece.endswith(">")


def closing_piece(opening: str) -> str:
    """Returns the piece that closes the constituent that the piece `opening` opens."""
    return f"<){opening[len(_OPENING) :]}"
