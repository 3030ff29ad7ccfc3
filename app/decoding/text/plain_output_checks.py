"""The checks of `output_checks` in plain Python, for one translation at a time.

In a TensorFlow graph, the checks are about two hundred operations. With a small model, these operations take longer
than CTranslate2 needs to translate a sentence. A test compares the warnings of both modules.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import regex

from keras_nmt.app.decoding.text.output_checks import (
    COPIED_SHARE,
    COPIED_WORDS,
    LONGEST_PERIOD,
    TIMES_LONGER,
    TIMES_SHORTER,
    TOKENS_LONGER,
    TOKENS_SHORTER,
    WARNINGS,
    wanted_repeats,
)

_THOUSANDS = re.compile("([0-9])[.,'\u2019\u00a0\u202f]([0-9]{3})\\b", re.ASCII)
_DIGITS = re.compile("[0-9]+")
_AROUND_LINK = regex.compile(r"^\p{P}+|[\p{P}/]+$")
_LINK = re.compile(r"(?:https?://|www\.)\S+|[^@\s]+@[^@\s]+\.[^@\s]+", re.ASCII | re.IGNORECASE)


class Side(NamedTuple):
    """A source or a translation: its text as decoded by the vocabulary, and its token ids without PAD."""

    text: str
    tokens: Sequence[int]


def plain_warnings(source: Side, translation: Side) -> tuple[bool, ...]:
    """Checks one translation of one text; returns, for each warning in `WARNINGS`, True if the warning applies."""
    length, source_length = len(translation.tokens), len(source.tokens)
    longer, shorter = max(length, source_length), min(length, source_length)
    is_short = source_length > TIMES_SHORTER * length and source_length >= length + TOKENS_SHORTER
    checks = {
        "copied": _is_copied(source, translation),
        "repetition": _has_loop(translation.tokens) and not _has_loop(source.tokens),
        "length": (longer > TIMES_LONGER * shorter and longer > shorter + TOKENS_LONGER) or is_short,
        "numbers": _numbers_differ(source.text, translation.text),
        "links": _links(source.text) != _links(translation.text),
        "empty": not _words(translation.text) and bool(_words(source.text)),
    }
    return tuple(checks[name] for name in WARNINGS)


def _is_copied(source: Side, translation: Side) -> bool:
    if len(_words(source.text)) < COPIED_WORDS or not translation.tokens:
        return False
    known = set(source.tokens)
    copies = sum(token in known for token in translation.tokens)
    return bool(copies >= np.float32(COPIED_SHARE) * np.float32(len(translation.tokens)))


def _has_loop(tokens: Sequence[int]) -> bool:
    """Returns True if the tokens contain a repetition as `find_warnings` defines it."""
    for period in range(1, LONGEST_PERIOD + 1):
        run, wanted = 0, wanted_repeats(period)
        for token, earlier in zip(tokens[period:], tokens, strict=False):
            run = run + 1 if token == earlier else 0
            if run == wanted:
                return True
    return False


def _numbers_differ(source: str, translation: str) -> bool:
    (long, short), (its_long, its_short) = map(_numbers, (source, translation))
    return long != its_long or (len(short) == len(its_short) and short != its_short)


def _numbers(text: str) -> tuple[list[str], list[str]]:
    """Returns the numbers with several digits and the numbers with one digit, both sorted."""
    joined = _THOUSANDS.sub(r"\1\2", _THOUSANDS.sub(r"\1\2", text))
    digits = sorted(_DIGITS.findall(joined))
    return [number for number in digits if len(number) > 1], [number for number in digits if len(number) == 1]


def _links(text: str) -> list[str]:
    words = (_AROUND_LINK.sub("", word) for word in _words(text))
    return sorted(word for word in words if _LINK.fullmatch(word))


def _words(text: str) -> list[str]:
    """Splits a text at ASCII whitespace, as `tf.strings.split` does."""
    return [word.decode("utf-8", "replace") for word in text.encode("utf-8", "replace").split()]
