"""Input and output types of a translation graph, and the types that its parts exchange."""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.penalties import Repetition
from keras_nmt.app.decoding.text.output_checks import WARNINGS
from keras_nmt.pipelines.vocabulary.tokenizer import EOS, PAD


class Search(NamedTuple):
    """The settings of the search that each call of a graph can override; see `DecodingOptions`."""

    beam_size: tf.Tensor  # int32 []
    length_penalty: tf.Tensor  # float32 []
    max_extra_tokens: tf.Tensor  # int32 []
    no_repeat_ngram_size: tf.Tensor  # int32 []
    repetition_penalty: tf.Tensor  # float32 []
    min_tokens: tf.Tensor  # int32 []
    max_tokens: tf.Tensor  # int32 []

    @classmethod
    def of(cls, options: DecodingOptions) -> "Search":
        """Converts options to tensors."""
        return cls(
            tf.constant(options.beam_size, tf.int32),
            tf.constant(options.length_penalty, tf.float32),
            tf.constant(options.max_extra_tokens, tf.int32),
            tf.constant(options.no_repeat_ngram_size, tf.int32),
            tf.constant(options.repetition_penalty, tf.float32),
            tf.constant(options.min_tokens, tf.int32),
            tf.constant(options.max_tokens, tf.int32),
        )

    @property
    def repetition(self) -> Repetition:
        """The rules against repetition."""
        return Repetition(self.no_repeat_ngram_size, self.repetition_penalty)

    def length_limits(self, expected: tf.Tensor) -> tf.Tensor:
        """Returns the largest number of tokens in translations, EOS included: int32 in the shape of `expected`.

        Args:
            expected: int32 of any shape, the expected number of tokens of each translation, usually the number of
                source tokens. The limit is `max_extra_tokens` above this number, but not above `max_tokens`, plus 1 for
                EOS. For 0, the limit is 1.
        """
        most = expected + self.max_extra_tokens
        most = tf.where(self.max_tokens > 0, tf.minimum(most, self.max_tokens), most)
        return tf.where(expected == 0, 1, 1 + most)


class TranslatedTexts(NamedTuple):
    """The H best translations of each of N texts, best first. A translation has at most T tokens.

    A text may have fewer than H translations. A missing translation has empty text, score -inf and confidence 0.
    """

    translations: tf.Tensor  # string [N, H]
    scores: tf.Tensor  # float32 [N, H]
    confidences: tf.Tensor  # float32 [N, H], the geometric mean of the tokens' probabilities
    warnings: tf.Tensor  # string [N, H], names from `output_checks` joined by commas; "" if none
    pieces: tf.Tensor  # string [N, H, T], the pieces of the tokens; the last is "</s>", then ""
    token_log_probabilities: tf.Tensor  # float32 [N, H, T], 0 after the tokens


class Pieces(NamedTuple):
    """N texts, cut into M pieces that are short enough for a model."""

    tokens: tf.RaggedTensor  # int32 [M, (L)]; empty if the whole piece is copied
    owner: tf.Tensor  # int32 [M], the text of each piece, ascending
    place: tf.Tensor  # int32 [M], the number of the piece within its text, from 0
    copied: tf.Tensor  # string [M], text that is copied and precedes the translation of the tokens
    sentence: tf.Tensor  # int32 [M], the number of the sentence of each piece, over all texts, ascending


class FoundPieces(NamedTuple):
    """The H best translations of M pieces. The tokens of all translations are concatenated, piece by piece."""

    translations: tf.Tensor  # string [M, H]
    scores: tf.Tensor  # float32 [M, H]
    log_probabilities: tf.Tensor  # float32 [M, H]
    warnings: tf.Tensor  # bool [M, H, F], in the order of `output_checks.WARNINGS`
    lengths: tf.Tensor  # int32 [M, H], the number of tokens
    tokens: tf.Tensor  # int32 [sum of lengths]
    token_log_probabilities: tf.Tensor  # float32 [sum of lengths]


PIECES_SPEC = Pieces(
    tokens=tf.RaggedTensorSpec([None, None], tf.int32),
    owner=tf.TensorSpec([None], tf.int32),
    place=tf.TensorSpec([None], tf.int32),
    copied=tf.TensorSpec([None], tf.string),
    sentence=tf.TensorSpec([None], tf.int32),
)
FOUND_PIECES_SPEC = FoundPieces(
    translations=tf.TensorSpec([None, None], tf.string),
    scores=tf.TensorSpec([None, None], tf.float32),
    log_probabilities=tf.TensorSpec([None, None], tf.float32),
    warnings=tf.TensorSpec([None, None, len(WARNINGS)], tf.bool),
    lengths=tf.TensorSpec([None, None], tf.int32),
    tokens=tf.TensorSpec([None], tf.int32),
    token_log_probabilities=tf.TensorSpec([None], tf.float32),
)


class ScoredTexts(NamedTuple):
    """A model's scores of N given translations of up to T tokens."""

    scores: tf.Tensor  # float32 [N], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [N], the sums over the tokens
    token_log_probabilities: tf.Tensor  # float32 [N, T]
    pieces: tf.Tensor  # string [N, T], the pieces of the tokens; the last is "</s>", then ""


def row_lengths(rows: tf.RaggedTensor) -> tf.Tensor:
    """Returns the number of values in each row, int32 [N]."""
    return tf.cast(rows.row_lengths(), tf.int32)


def with_end(rows: tf.RaggedTensor, *, multiple: int = 1) -> tf.Tensor:
    """Appends EOS to rows of token ids, int32 [B, (L)], and pads the rows with PAD to equal length: int32 [B, W].

    W is a multiple of `multiple`.
    """
    ids = tf.concat([rows, tf.fill([rows.nrows(), 1], EOS)], axis=1).to_tensor(PAD)
    return tf.pad(ids, [[0, 0], [0, -tf.shape(ids)[1] % multiple]], constant_values=PAD) if multiple > 1 else ids
