"""Turns the hypotheses of a search into translations with warnings, piece by piece."""

from collections.abc import Callable

import tensorflow as tf

from keras_nmt.app.decoding.search.hypotheses import Hypotheses
from keras_nmt.app.decoding.text.leading_tags import TagTables, without_tags
from keras_nmt.app.decoding.text.output_checks import WARNINGS
from keras_nmt.app.decoding.text.texts import FoundPieces, row_lengths
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

# (source texts, their ids, output texts, their ids) -> warnings; see `output_checks.find_warnings`
OutputChecks = Callable[[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor], tf.Tensor]


def found_pieces(
    tokens: tf.RaggedTensor,
    found: Hypotheses,
    hypotheses: int | tf.Tensor,
    retry: bool | tf.Tensor,
    *,
    vocabulary: AnyVocabulary,
    tags: TagTables,
    checks: OutputChecks,
) -> FoundPieces:
    """Decodes the best hypotheses of pieces and checks the translations.

    The only hypothesis of a piece without tokens is EOS. This hypothesis gets score 0 and log-probability 0.

    Args:
        tokens: int32 [B, (L)], the tokens of the pieces.
        found: The hypotheses that a search found for the pieces.
        hypotheses: The largest number of translations to return for each piece.
        retry: True to exchange the first two hypotheses of a piece if the second one has fewer warnings.
        vocabulary: The vocabulary of the model.
        tags: The tags of the vocabulary.
        checks: The function that finds warnings, with the arguments and the result of `find_warnings`.
    """
    examined = tf.minimum(tf.maximum(hypotheses, 2), tf.shape(found.scores)[1])
    found = Hypotheses(*(values[:, :examined] for values in found))
    shape = tf.shape(found.scores)
    texts = vocabulary.decode(tf.reshape(found.tokens, [shape[0] * shape[1], -1]))  # [B, H, T] -> [B * H, T]
    # Byte pieces may spell a line break, but a translation is one line.
    texts = tf.strings.regex_replace(tf.reshape(texts, shape), r"[\r\n]+", " ")
    source = without_tags(tokens, tags).to_tensor(PAD)
    warnings = checks(vocabulary.decode(source), source, texts, found.tokens)
    exists = found.lengths > 0
    has_no_token = (row_lengths(tokens) == 0)[:, tf.newaxis] & exists
    scores, log_probabilities, by_token = (
        tf.where(tf.reshape(has_no_token, [shape[0], shape[1], *[1] * (len(values.shape) - 2)]), 0.0, values)
        for values in (found.scores, found.log_probabilities, found.token_log_probabilities)
    )
    order = best_order(warnings & exists[:, :, tf.newaxis], exists, retry)[:, :hypotheses]
    texts, scores, log_probabilities, warnings, lengths, ids, by_token = (
        tf.gather(values, order, batch_dims=1)
        for values in (texts, scores, log_probabilities, warnings, found.lengths, found.tokens, by_token)
    )
    is_token = ids != PAD
    return FoundPieces(texts, scores, log_probabilities, warnings, lengths, ids[is_token], by_token[is_token])


def best_order(warnings: tf.Tensor, exists: tf.Tensor, retry: bool | tf.Tensor) -> tf.Tensor:
    """Returns the new order of the hypotheses of each piece, int32 [B, H].

    The first two hypotheses are exchanged if the second one has fewer warnings. All other hypotheses stay in their
    places.

    Args:
        warnings: bool [B, H, F], the warnings of each hypothesis.
        exists: bool [B, H], True if the hypothesis exists.
        retry: True if the order may change.
    """
    counts = tf.math.count_nonzero(warnings, axis=2, dtype=tf.int32)  # [B, H]
    second = tf.minimum(1, tf.shape(counts)[1] - 1)
    is_better = retry & exists[:, second] & (counts[:, second] < counts[:, 0])  # [B]
    order = tf.range(tf.shape(counts)[1])
    swapped = tf.where(order < 2, second - order, order)
    return tf.where(is_better[:, tf.newaxis], swapped, order)


def no_pieces(hypotheses: int | tf.Tensor) -> FoundPieces:
    """Returns the result for 0 pieces. The first axis has size 0, and the second axis has size `hypotheses`."""
    values = tf.fill([0, hypotheses], 0.0)
    return FoundPieces(
        translations=tf.fill([0, hypotheses], ""),
        scores=values,
        log_probabilities=values,
        warnings=tf.fill([0, hypotheses, len(WARNINGS)], False),
        lengths=tf.fill([0, hypotheses], 0),
        tokens=tf.zeros([0], tf.int32),
        token_log_probabilities=tf.zeros([0]),
    )
