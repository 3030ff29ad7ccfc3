"""Finds the tags at the start of a source, such as `<2fr> <news>`, among token ids in a TensorFlow graph.

Tags control how a source is translated, and are not part of its text. `pipelines.vocabulary.tags` defines them. The
language codes of Marian's multilingual models, such as `>>fra<<`, are tags too.
"""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_nmt.pipelines.vocabulary.tags import is_tag
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

_SPACE = "▁"  # SentencePiece's mark of a space before a piece; before a tag, it may be a separate piece
_LANGUAGE_CODE = re.compile(r">>[^<>\s]+<<")


class TagTables(NamedTuple):
    """Properties of each token that are needed to find tags; both are bool [V]."""

    is_tag: np.ndarray
    is_space: np.ndarray  # True for the piece that is only a space


def tag_tables(pieces: Sequence[str]) -> TagTables:
    """Makes the tables of a vocabulary from its pieces, in the order of their ids."""
    return TagTables(
        is_tag=np.array([is_tag(piece.removeprefix(_SPACE)) or is_language_code(piece) for piece in pieces], bool),
        is_space=np.array([piece == _SPACE for piece in pieces], bool),
    )


def is_language_code(piece: str) -> bool:
    """Returns True if a piece is the token of a language in a multilingual OPUS-MT model."""
    return bool(_LANGUAGE_CODE.fullmatch(piece))


def leads(ids: tf.Tensor, tables: TagTables) -> tf.Tensor:
    """Returns True for the tags at the start of a row, with the spaces before them: bool in the shape of `ids`, [N, L].

    Example: in the row "▁ <2fr> ▁ <news> ▁ x <2fr>", the first four tokens are True.
    """
    tag, space = (tf.gather(table, ids) for table in tables)
    is_before_text = tf.cumsum(tf.cast(~(tag | space), tf.int32), axis=1) == 0
    return tf.cumsum(tf.cast(is_before_text & tag, tf.int32), axis=1, reverse=True) > 0


def leading_of(tokens: tf.RaggedTensor, tables: TagTables) -> tf.RaggedTensor:
    """Applies `leads` to ragged rows: int32 [N, (L)] -> bool [N, (L)]."""
    found = leads(tokens.to_tensor(PAD), tables)
    return tokens.with_values(tf.boolean_mask(found, tf.sequence_mask(tokens.row_lengths(), tf.shape(found)[1])))


def without_tags(tokens: tf.RaggedTensor, tables: TagTables) -> tf.RaggedTensor:
    """Removes the leading tags from rows of tokens, int32 [N, (L)]."""
    return tf.ragged.boolean_mask(tokens, ~leading_of(tokens, tables)) if tables.is_tag.any() else tokens
