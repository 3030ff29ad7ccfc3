"""The tags that a source begins with, such as `<2fr> <news>`: they say how it is to be translated, and are no text.

`pipelines.vocabulary.tags` says what they mean; here is where they stand among token ids, in the graph. The
language codes of
Marian's multilingual models, such as `>>fra<<`, are tags too.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from pipelines.vocabulary.tags import is_tag
from pipelines.vocabulary.tokenizer import PAD

_SPACE = "▁"  # SentencePiece's mark of a space before the piece; by itself before a tag that is a piece without it
_LANGUAGE_CODE = re.compile(r">>[^<>\s]+<<")


class TagTables(NamedTuple):
    """What finding tags needs to know of each token; each bool [V]."""

    is_tag: np.ndarray
    is_space: np.ndarray  # and nothing else


def tag_tables(pieces: Sequence[str]) -> TagTables:
    """Gives the tables of a vocabulary from its pieces, in the order of their ids."""
    return TagTables(
        is_tag=np.array([is_tag(piece.removeprefix(_SPACE)) or is_language_code(piece) for piece in pieces], bool),
        is_space=np.array([piece == _SPACE for piece in pieces], bool),
    )


def is_language_code(piece: str) -> bool:
    """Whether a piece is the token of a language, as multilingual OPUS-MT models have them."""
    return bool(_LANGUAGE_CODE.fullmatch(piece))


def leads(ids: tf.Tensor, tables: TagTables) -> tf.Tensor:
    """Which tokens belong to the tags at the beginning of their row: bool in the shape of `ids`, int32 [N, L].

    Example: of "▁ <2fr> ▁ <news> ▁ x <2fr>" they are the first four.
    """
    tag, space = (tf.gather(table, ids) for table in tables)
    is_before_text = tf.cumsum(tf.cast(~(tag | space), tf.int32), axis=1) == 0
    return tf.cumsum(tf.cast(is_before_text & tag, tf.int32), axis=1, reverse=True) > 0


def leading_of(tokens: tf.RaggedTensor, tables: TagTables) -> tf.RaggedTensor:
    """As `leads`, of ragged rows: int32 [N, (L)] -> bool [N, (L)]."""
    found = leads(tokens.to_tensor(PAD), tables)
    return tokens.with_values(tf.boolean_mask(found, tf.sequence_mask(tokens.row_lengths(), tf.shape(found)[1])))


def without_tags(tokens: tf.RaggedTensor, tables: TagTables) -> tf.RaggedTensor:
    """The tokens of the text behind the tags: int32 [N, (L)]."""
    return tf.ragged.boolean_mask(tokens, ~leading_of(tokens, tables)) if tables.is_tag.any() else tokens
