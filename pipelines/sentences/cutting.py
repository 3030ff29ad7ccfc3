"""Cuts texts at the ends of sentences, in Python without TensorFlow; `graph_cutting` does the same in a graph."""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate

import regex

from keras_nmt.pipelines.sentences.rules import (
    BLANKS,
    CHARACTERS,
    CUT,
    CUTTING,
    CUTTING_SMALL,
    WITHOUT_CAPITALS,
    WORDS,
    Rule,
)


def cut_at_sentence(text: str, limit: int, count_tokens: Callable[[str], int]) -> tuple[str, bool]:
    """Cuts off the end of a text that has more tokens than a model can read.

    The text is cut at the first of these places that exists:

    1. the end of the last sentence up to which the text fits;
    2. the end of the last word up to which the first sentence fits;
    3. the end of the last character up to which the first word fits, with the marks on the character.

    Example with limit 5, where each word and each full stop is a token: "A dog. It barks. It runs." becomes "A dog.".

    Args:
        text: The text.
        limit: The largest number of tokens.
        count_tokens: Returns the number of tokens of a text. Must not decrease when text is added; if it does, the
            result still fits, but may be shorter than necessary.

    Returns:
        The text, and False if it fits. Otherwise the start of the text, without spaces at its end, and True; the start
        is empty if not even one character fits.
    """
    if count_tokens(text) <= limit:
        return text, False
    for pieces_of in (sentence_pieces, _words, _characters):
        pieces = pieces_of(text)
        text = "".join(pieces)  # `sentence_pieces` removes marks
        ends = [end for piece, end in zip(pieces, _ends(pieces), strict=True) if piece.strip(BLANKS)]
        fitting = bisect_right(ends, limit, key=lambda end: count_tokens(text[:end]))
        if fitting:
            return text[: ends[fitting - 1]], True
        text = text[: ends[0]] if ends else ""
    return "", True


def sentence_pieces(text: str) -> list[str]:
    """Cuts a text into sentences, with the spaces and line ends around them, and pieces of only those.

    The pieces, concatenated, are the text without the characters that the rules use as marks.
    """
    pieces = regex.split(CUT, _replaced(text, CUTTING))
    marked = [
        _replaced(piece, CUTTING_SMALL) if regex.fullmatch(WITHOUT_CAPITALS, piece) else piece for piece in pieces
    ]
    return CUT.join(marked).split(CUT)


def _words(text: str) -> list[str]:
    return _replaced(text, WORDS).split(CUT)


def _characters(text: str) -> list[str]:
    return _replaced(text, CHARACTERS).split(CUT)


def _ends(pieces: Sequence[str]) -> list[int]:
    """Returns where each piece ends in the text, without the spaces at the end of the piece."""
    ends = accumulate(map(len, pieces))
    return [end - len(piece) + len(piece.rstrip(BLANKS)) for piece, end in zip(pieces, ends, strict=True)]


def _replaced(text: str, rules: Sequence[Rule]) -> str:
    for rule in rules:
        text = regex.sub(rule.pattern, rule.replacement, text)
    return text
