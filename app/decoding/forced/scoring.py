"""The probability that a model gives to translations that are there already, in the graph."""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from app.decoding.forced.given_pieces import GivenPieces
from app.decoding.search.beam_search import length_penalties
from app.decoding.text.texts import ScoredTexts
from pipelines.vocabulary.tokenizer import BOS, PAD


class Scores(NamedTuple):
    """What a model gives to the labels of M pieces."""

    labels: tf.Tensor  # int32 [M, T], with EOS, then PAD
    by_token: tf.Tensor  # float32 [M, T], log-probabilities, 0 at PAD


LOGITS_AT_ONCE = 2**26  # float32: 256 MB


def token_log_probabilities(
    logits_of: Callable[[tf.RaggedTensor, tf.Tensor], tf.Tensor],
    source: tf.RaggedTensor,
    labels: tf.Tensor,
    *,
    vocabulary_size: int,
) -> tf.Tensor:
    """The log-probability of each token of given translations, after the right ones before it.

    Args:
        logits_of: (source [n, (S)], target [n, T], the labels behind BOS) -> a transformer's logits [n, T, V].
        source: int32 [N, (S)].
        labels: int32 [N, T], EOS included, then PAD.
        vocabulary_size: V.

    Returns:
        float32 [N, T], 0 at PAD; the sums of the rows are what `beam_search` gives the same tokens.
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
    pieces: GivenPieces, scores: Scores, *, shown: tf.Tensor, kept: tf.RaggedTensor, alpha: float | tf.Tensor
) -> ScoredTexts:
    """The scores of N texts from those of their M pieces, with ids (int32 [N, T]) in the place of spelt pieces.

    Args:
        pieces: Whose scores they are.
        scores: Of the pieces.
        shown: int32 [M, T], the labels that are told, then PAD.
        kept: int32 [M, (K)], the tokens of what the pieces keep, which are certain.
        alpha: The exponent of the length penalty.
    """
    log_probabilities = tf.reduce_sum(scores.by_token, axis=1)
    lengths = tf.math.count_nonzero(scores.labels != PAD, axis=1, dtype=tf.int32)

    def of_texts(own: tf.RaggedTensor, values: tf.Tensor) -> tf.Tensor:
        """Of what is kept, and of the labels, [M, T], in the order of the texts: [N, T]."""
        both = tf.concat([own, tf.ragged.boolean_mask(values, shown != PAD)], axis=1)
        return tf.RaggedTensor.from_value_rowids(both, tf.cast(pieces.owner, tf.int64)).merge_dims(1, 2).to_tensor()

    return ScoredTexts(
        scores=tf.math.segment_sum(log_probabilities / length_penalties(lengths, alpha), pieces.owner),
        log_probabilities=tf.math.segment_sum(log_probabilities, pieces.owner),
        token_log_probabilities=of_texts(tf.zeros_like(kept, tf.float32), scores.by_token),
        pieces=of_texts(kept, shown),
    )
