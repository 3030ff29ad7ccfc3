"""Cuts texts into sentences, and splits a sentence into a copied part and a part to translate.

Functions without a suffix are for TensorFlow graphs. Functions with the suffix `_outside` or `_in_python` do the same
in plain Python, for the server and for `plain_translation`. If a sentence is cut again, it stays whole, so texts may be
cut more than once.
"""

from typing import NamedTuple

import regex
import tensorflow as tf

from keras_nmt.pipelines.sentences.cutting import sentence_pieces
from keras_nmt.pipelines.sentences.graph_cutting import sentence_pieces_in_graph
from keras_nmt.pipelines.sentences.rules import BLANKS, COPIED, DATE, LINE_ENDS, LISTED, NO_SPACE_AFTER, SPACES

_AROUND = f"^[{SPACES}{LINE_ENDS}]+|[{SPACES}{LINE_ENDS}]+$"
_BEGINS_BLANK, _ENDS_BLANK = f"[{SPACES}{LINE_ENDS}](?s:.*)", f"(?s:.*)[{SPACES}{LINE_ENDS}]"
_WHOLE_LISTED = f"^{LISTED}$"


class Parts(NamedTuple):
    """The copied start of a sentence, and the rest, which is translated. Both are a string or a string tensor [S]."""

    copied: str | tf.Tensor
    rest: str | tf.Tensor


class Stretch(NamedTuple):
    """A sentence (`text`) and the spaces and line ends before and after it."""

    before: str
    text: str
    after: str


class Cut(NamedTuple):
    """The sentences of N texts, without the spaces around them. A blank text has one empty sentence."""

    sentences: tf.RaggedTensor  # string [N, (S)]
    is_spaced: tf.Tensor  # bool [sum of S], True if a space or the start of the text precedes the sentence


def cut_sentences(texts: tf.Tensor) -> Cut:
    """Cuts `texts`, string [N], into sentences.

    Example: "Yes. I see Dr. Smith." becomes "Yes." and "I see Dr. Smith.".
    """
    sentences = sentence_pieces_in_graph(texts)
    owners = sentences.value_rowids()
    found = tf.strings.regex_replace(sentences.values, _AROUND, "")
    is_first = tf.concat([tf.ones_like(owners[:1], tf.bool), owners[1:] != owners[:-1]], axis=0)
    begins, ends = (tf.strings.regex_full_match(sentences.values, pattern) for pattern in (_BEGINS_BLANK, _ENDS_BLANK))
    is_spaced = begins | is_first | tf.concat([is_first[:1], ends[:-1]], axis=0)
    is_blank = tf.math.segment_sum(tf.cast(found != "", tf.int32), owners) == 0  # every text has at least one piece
    stays = (found != "") | (is_first & tf.gather(is_blank, owners))
    by_text = tf.RaggedTensor.from_value_rowids(found[stays], owners[stays], sentences.nrows())
    return Cut(by_text, is_spaced[stays])


def split_copied(sentences: tf.Tensor) -> Parts:
    """Splits each of `sentences` (string [S]) into a part to copy and a part to translate.

    A sentence is copied as a whole if each of its words is a link, is a mail address or has no letter. If the sentence
    is a list item, its number or bullet is copied and the rest is translated. Any other sentence is translated as a
    whole.

    Examples: "1. The dog sleeps." gives "1." and "The dog sleeps."; "www.example.org" gives "www.example.org" and "";
    "***" gives "***" and "".
    """
    is_copied = tf.strings.regex_full_match(sentences, COPIED)
    is_listed = tf.strings.regex_full_match(sentences, LISTED) & ~tf.strings.regex_full_match(sentences, DATE)
    mark = tf.strings.regex_replace(tf.strings.regex_replace(sentences, _WHOLE_LISTED, r"\1"), _AROUND, "")
    counted = tf.strings.regex_replace(sentences, _WHOLE_LISTED, r"\2")
    return Parts(
        copied=tf.where(is_copied, sentences, tf.where(is_listed, mark, "")),
        rest=tf.where(is_copied, "", tf.where(is_listed, counted, sentences)),
    )


def joined(copied: tf.Tensor, translations: tf.Tensor) -> tf.Tensor:
    """Joins copied parts and translations: strings of any shape. Puts a space between them if neither is empty."""
    between = tf.where((copied == "") | (translations == ""), "", " ")
    return copied + between + translations  # broadcasts, unlike `tf.strings.join`


def is_followed_by_space(texts: tf.Tensor) -> tf.Tensor:
    """Returns False for each text that ends in Chinese or Japanese, and True for all other texts: bool."""
    return ~tf.strings.regex_full_match(texts, NO_SPACE_AFTER)


def stretches_in_python(text: str) -> list[Stretch]:
    """Cuts one text into sentences as `cut_sentences` does, but keeps the spaces around them.

    All fields of the result, concatenated, are the text.
    """
    found: list[Stretch] = []
    blank = ""
    for piece in sentence_pieces(text):
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


def split_copied_outside(sentence: str) -> Parts:
    """Splits one sentence in Python as `split_copied` does."""
    if regex.fullmatch(COPIED, sentence):
        return Parts(sentence, "")
    listed = regex.fullmatch(LISTED, sentence)
    if listed is None or regex.fullmatch(DATE, sentence):
        return Parts("", sentence)
    return Parts(listed[1].strip(BLANKS), listed[2])


def joined_outside(copied: str, translation: str) -> str:
    """Joins the parts of one sentence in Python as `joined` does."""
    return " ".join(part for part in (copied, translation) if part)


def is_followed_by_space_in_python(text: str) -> bool:
    """Computes `is_followed_by_space` for one text in Python."""
    return regex.fullmatch(NO_SPACE_AFTER, text) is None
