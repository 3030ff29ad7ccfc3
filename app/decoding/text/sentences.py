"""Cuts texts into sentences, and tells what of a sentence is translated and what stays as it is.

In the graph, and the same in Python for what needs no graph: the server's sentences and the short way around
TensorFlow. A sentence that is cut again stays whole, so it does not matter who has cut it before.
"""

from collections.abc import Sequence
from typing import NamedTuple

import regex
import tensorflow as tf

from app.decoding.text.sentence_rules import (
    BLANKS,
    COPIED,
    CUT,
    CUTTING,
    CUTTING_SMALL,
    DATE,
    LINE_ENDS,
    LISTED,
    NO_SPACE_AFTER,
    SPACES,
    WITHOUT_CAPITALS,
    Rule,
)

_AROUND = f"^[{SPACES}{LINE_ENDS}]+|[{SPACES}{LINE_ENDS}]+$"
_BEGINS_BLANK, _ENDS_BLANK = f"[{SPACES}{LINE_ENDS}](?s:.*)", f"(?s:.*)[{SPACES}{LINE_ENDS}]"
_WHOLE_LISTED = f"^{LISTED}$"


class Parts(NamedTuple):
    """What of a sentence is copied, and what behind it is translated: strings, or string tensors [S]."""

    kept: str | tf.Tensor
    said: str | tf.Tensor


class Stretch(NamedTuple):
    """A sentence and the spaces and line ends around it."""

    before: str
    text: str
    after: str


class Cut(NamedTuple):
    """The sentences of N texts without the spaces around them; of a blank text there is one, which is empty."""

    sentences: tf.RaggedTensor  # string [N, (S)]
    is_spaced: tf.Tensor  # bool [all S], whether there is a space or the text's beginning before it


def cut_sentences(texts: tf.Tensor) -> Cut:
    """Cuts `texts`, string [N].

    Example: "Yes. I see Dr. Smith." becomes "Yes." and "I see Dr. Smith.".
    """
    pieces = tf.strings.split(_replaced(texts, CUTTING), CUT)
    small = tf.strings.regex_full_match(pieces.values, WITHOUT_CAPITALS)
    marked = tf.where(small, _replaced(pieces.values, CUTTING_SMALL), pieces.values)
    sentences = tf.strings.split(marked, CUT)
    owners = tf.gather(pieces.value_rowids(), sentences.value_rowids())
    found = tf.strings.regex_replace(sentences.values, _AROUND, "")
    is_first = tf.concat([tf.ones_like(owners[:1], tf.bool), owners[1:] != owners[:-1]], axis=0)
    begins, ends = (tf.strings.regex_full_match(sentences.values, pattern) for pattern in (_BEGINS_BLANK, _ENDS_BLANK))
    is_spaced = begins | is_first | tf.concat([is_first[:1], ends[:-1]], axis=0)
    is_blank = tf.math.segment_sum(tf.cast(found != "", tf.int32), owners) == 0  # every text has a piece
    stays = (found != "") | (is_first & tf.gather(is_blank, owners))
    by_text = tf.RaggedTensor.from_value_rowids(found[stays], owners[stays], pieces.nrows())
    return Cut(by_text, is_spaced[stays])


def parted(sentences: tf.Tensor) -> Parts:
    """What is copied of `sentences` (string [S]) and what is translated.

    Copied are sentences without a letter, links, and addresses, as a whole; and numbers and bullets of lists.

    Example: "1. The dog sleeps." gives "1." and "The dog sleeps."; "www.example.org" and "***" give themselves and "".
    """
    is_copied = tf.strings.regex_full_match(sentences, COPIED)
    is_listed = tf.strings.regex_full_match(sentences, LISTED) & ~tf.strings.regex_full_match(sentences, DATE)
    mark = tf.strings.regex_replace(tf.strings.regex_replace(sentences, _WHOLE_LISTED, r"\1"), _AROUND, "")
    counted = tf.strings.regex_replace(sentences, _WHOLE_LISTED, r"\2")
    return Parts(
        kept=tf.where(is_copied, sentences, tf.where(is_listed, mark, "")),
        said=tf.where(is_copied, "", tf.where(is_listed, counted, sentences)),
    )


def joined(kept: tf.Tensor, translations: tf.Tensor) -> tf.Tensor:
    """What was kept, and behind a space the translation of the rest, if there is one: strings of any shape."""
    between = tf.where((kept == "") | (translations == ""), "", " ")
    return kept + between + translations  # unlike `tf.strings.join`, shaped to each other


def is_followed_by_space(texts: tf.Tensor) -> tf.Tensor:
    """Whether a sentence behind each text has a space before it, unlike behind Chinese or Japanese: bool."""
    return ~tf.strings.regex_full_match(texts, NO_SPACE_AFTER)


def stretches_outside(text: str) -> list[Stretch]:
    """As `cut_sentences`, of one text and with the spaces; put together they are the text."""
    pieces = regex.split(CUT, _replaced_outside(text, CUTTING))
    marked = [
        _replaced_outside(piece, CUTTING_SMALL) if regex.fullmatch(WITHOUT_CAPITALS, piece) else piece
        for piece in pieces
    ]
    found: list[Stretch] = []
    blank = ""
    for piece in CUT.join(marked).split(CUT):
        core = piece.strip(BLANKS)
        if core:
            before, _, after = piece.partition(core)
            found.append(Stretch(blank + before, core, after))
            blank = ""
        elif found:
            found[-1] = found[-1]._replace(after=found[-1].after + piece)
        else:
            blank += piece
    return [*found, Stretch(blank, "", "")] if blank else found


def parted_outside(sentence: str) -> Parts:
    """As `parted`, of one sentence."""
    if regex.fullmatch(COPIED, sentence):
        return Parts(sentence, "")
    listed = regex.fullmatch(LISTED, sentence)
    if listed is None or regex.fullmatch(DATE, sentence):
        return Parts("", sentence)
    return Parts(listed[1].strip(BLANKS), listed[2])


def joined_outside(kept: str, translation: str) -> str:
    """As `joined`, of one sentence."""
    return " ".join(part for part in (kept, translation) if part)


def is_followed_by_space_outside(text: str) -> bool:
    """As `is_followed_by_space`, of one text."""
    return regex.fullmatch(NO_SPACE_AFTER, text) is None


def _replaced(texts: tf.Tensor, rules: Sequence[Rule]) -> tf.Tensor:
    for rule in rules:
        texts = tf.strings.regex_replace(texts, rule.pattern, rule.replacement)
    return texts


def _replaced_outside(text: str, rules: Sequence[Rule]) -> str:
    for rule in rules:
        text = regex.sub(rule.pattern, rule.replacement, text)
    return text
