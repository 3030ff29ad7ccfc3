"""Scores given translations by the probabilities of a model, in a TensorFlow graph."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.forced.given_pieces import GivenPieces
from keras_nmt.app.decoding.search.penalties import length_penalties
from keras_nmt.app.decoding.text.texts import ScoredTexts
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, PAD


class TokenScores(NamedTuple):
    """A model's scores of the labels of M pieces."""

    labels: tf.Tensor  # int32 [M, T], with EOS, then PAD
    by_token: tf.Tensor  # float32 [M, T], the log-probability of each label, 0 at PAD


LOGITS_AT_ONCE = 2**26  # float32 logits that are computed at once: 256 MB


def token_log_probabilities(
    logits_of: Callable[[tf.RaggedTensor, tf.Tensor], tf.Tensor],
    source: tf.RaggedTensor,
    labels: tf.Tensor,
    *,
    vocabulary_size: int,
) -> tf.Tensor:
    """Computes the log-probability of each token of given translations, given the tokens before it.

    Args:
        logits_of: The function (source [n, (S)], target [n, T]) -> logits [n, T, V]. The target is the labels, shifted
            right and beginning with BOS.
        source: int32 [N, (S)], the source tokens.
        labels: int32 [N, T], the tokens of the translations, EOS included, then PAD.
        vocabulary_size: V, the number of tokens in the vocabulary.

    Returns:
        float32 [N, T], 0 at PAD. The sum of a row is the log-probability that `beam_search` returns for these tokens.
    """
    rows, longest = tf.unstack(tf.shape(labels))
    rows_at_once = tf.maximum(1, LOGITS_AT_ONCE // vocabulary_size // tf.maximum(1, longest))

    def score_some(first: tf.Tensor, done: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        wanted = labels[first : first + rows_at_once]
        target = tf.pad(wanted[:, :-1], [[0, 0], [1, 0]], constant_values=BOS)
        logits = logits_of(source[first : first + rows_at_once], target)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(wanted, tf.cast(logits, tf.float32))
        return first + rows_at_once, tf.concat([done, tf.where(wanted == PAD, 0.0, -losses)], axis=0)

    _, by_token = tf.while_loop(
        lambda first, _: first < rows,
        score_some,
        (tf.constant(0), tf.zeros([0, longest])),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None, None])),
    )
    return by_token


def joined_scores(
    pieces: GivenPieces, scores: TokenScores, *, shown: tf.Tensor, copied: tf.RaggedTensor, alpha: float | tf.Tensor
) -> ScoredTexts:
    """Joins the scores of M pieces into the scores of N texts.

    The field `pieces` of the result contains token ids, int32 [N, T], instead of strings.

    Args:
        pieces: The pairs of pieces.
        scores: The scores of the pieces.
        shown: int32 [M, T], the labels whose ids and log-probabilities the result contains, then PAD.
        copied: int32 [M, (K)], the tokens of copied text, whose probability is 1.
        alpha: The exponent of the length penalty.
    """
    log_probabilities = tf.reduce_sum(scores.by_token, axis=1)
    lengths = tf.math.count_nonzero(scores.labels != PAD, axis=1, dtype=tf.int32)

    def of_texts(own: tf.RaggedTensor, values: tf.Tensor) -> tf.Tensor:
        """Joins the values of copied tokens, [M, (K)], and of labels, [M, T], for each text: [N, T]."""
        both = tf.concat([own, tf.ragged.boolean_mask(values, shown != PAD)], axis=1)
        return tf.RaggedTensor.from_value_rowids(both, tf.cast(pieces.owner, tf.int64)).merge_dims(1, 2).to_tensor()

    return ScoredTexts(
        scores=tf.math.segment_sum(log_probabilities / length_penalties(lengths, alpha), pieces.owner),
        log_probabilities=tf.math.segment_sum(log_probabilities, pieces.owner),
        token_log_probabilities=of_texts(tf.zeros_like(copied, tf.float32), scores.by_token),
        pieces=of_texts(copied, shown),
    )
