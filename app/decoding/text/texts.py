"""What goes into a translation graph and comes out of it, and its parts in between."""

from typing import NamedTuple

import tensorflow as tf

from app.decoding.options import DecodingOptions
from app.decoding.search.repetition import Repetition
from app.decoding.text.output_checks import WARNINGS


class Search(NamedTuple):
    """What each run of a graph may be told anew; `DecodingOptions` says more."""

    beam_size: tf.Tensor  # int32 []
    length_penalty: tf.Tensor  # float32 []
    max_extra_tokens: tf.Tensor  # int32 []
    no_repeat_ngram_size: tf.Tensor  # int32 []
    repetition_penalty: tf.Tensor  # float32 []

    @classmethod
    def of(cls, options: DecodingOptions) -> "Search":
        """The options as tensors."""
        return cls(
            tf.constant(options.beam_size, tf.int32),
            tf.constant(options.length_penalty, tf.float32),
            tf.constant(options.max_extra_tokens, tf.int32),
            tf.constant(options.no_repeat_ngram_size, tf.int32),
            tf.constant(options.repetition_penalty, tf.float32),
        )

    @property
    def repetition(self) -> Repetition:
        """What is done against it."""
        return Repetition(self.no_repeat_ngram_size, self.repetition_penalty)


class TranslatedTexts(NamedTuple):
    """The H best translations of each of N texts, best first.

    Where there is no H-th translation its text is empty, its score -inf and its confidence 0.
    """

    translations: tf.Tensor  # string [N, H]
    scores: tf.Tensor  # float32 [N, H]
    confidences: tf.Tensor  # float32 [N, H], the geometric mean of the tokens' probabilities
    warnings: tf.Tensor  # string [N, H], of `output_checks`, with commas between; "" where nothing is suspicious
    pieces: tf.Tensor  # string [N, H, T], the tokens, the last one "</s>"; after them ""
    token_log_probabilities: tf.Tensor  # float32 [N, H, T], 0 after the tokens


class Pieces(NamedTuple):
    """N texts, cut into M pieces that a model can take."""

    tokens: tf.RaggedTensor  # int32 [M, (L)], none where all of it is kept
    owner: tf.Tensor  # int32 [M], the text of each, rising
    place: tf.Tensor  # int32 [M], which piece of its text it is, from 0 on
    kept: tf.Tensor  # string [M], what stands as it is before the translation of the tokens
    sentence: tf.Tensor  # int32 [M], the sentence of each, counted over all texts, rising


class FoundPieces(NamedTuple):
    """The H best translations of M pieces. The tokens of all of them follow each other, those of a piece together."""

    translations: tf.Tensor  # string [M, H]
    scores: tf.Tensor  # float32 [M, H]
    log_probabilities: tf.Tensor  # float32 [M, H]
    warnings: tf.Tensor  # bool [M, H, F], of `output_checks`
    lengths: tf.Tensor  # int32 [M, H]
    tokens: tf.Tensor  # int32 [sum of lengths]
    token_log_probabilities: tf.Tensor  # float32 [sum of lengths]


OF_PIECES = Pieces(
    tokens=tf.RaggedTensorSpec([None, None], tf.int32),
    owner=tf.TensorSpec([None], tf.int32),
    place=tf.TensorSpec([None], tf.int32),
    kept=tf.TensorSpec([None], tf.string),
    sentence=tf.TensorSpec([None], tf.int32),
)
OF_FOUND_PIECES = FoundPieces(
    translations=tf.TensorSpec([None, None], tf.string),
    scores=tf.TensorSpec([None, None], tf.float32),
    log_probabilities=tf.TensorSpec([None, None], tf.float32),
    warnings=tf.TensorSpec([None, None, len(WARNINGS)], tf.bool),
    lengths=tf.TensorSpec([None, None], tf.int32),
    tokens=tf.TensorSpec([None], tf.int32),
    token_log_probabilities=tf.TensorSpec([None], tf.float32),
)


class ScoredTexts(NamedTuple):
    """What the model gives to N translations of up to T tokens."""

    scores: tf.Tensor  # float32 [N], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [N], the sums of those of the tokens
    token_log_probabilities: tf.Tensor  # float32 [N, T]
    pieces: tf.Tensor  # string [N, T]: the tokens, the last one "</s>"; after them ""


def row_lengths(rows: tf.RaggedTensor) -> tf.Tensor:
    """How many each row holds, int32 [N]."""
    return tf.cast(rows.row_lengths(), tf.int32)
