"""Shows what a model computes for a sentence in all its layers: most outputs of the signature `inside`."""

import tensorflow as tf

from keras_nmt.app.decoding.network.record import SentenceRecord, StackRecord, attention_weights, decoder_input
from keras_nmt.app.decoding.signatures import Tensors
from keras_nmt.layers import AnyModel
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

NEIGHBOURS = 8
TOP_PIECES = 20
SMALLEST = 1e-12  # added to the product of two norms, so that a row of zeros has the cosine 0
TEMPERATURES = [round(0.1 * number, 1) for number in range(1, 21)]


def overview(model: AnyModel, vocabulary: AnyVocabulary, record: SentenceRecord, *ids: tf.Tensor) -> Tensors:
    """Returns the outputs of `inside` that follow from the ids of a sentence.

    Args:
        model: The model.
        vocabulary: Its vocabulary.
        record: The record of the sentence.
        ids: The tokens that were recorded; see `Recorder`.
    """
    *source, labels = ids
    longest = tf.reduce_max([tf.size(one) for one in ids])
    found = {
        "target_ids": labels,
        "target_pieces": vocabulary.spell(labels),
        "positional_encodings": model.positional_encodings(longest),
        **_embedded(model, vocabulary, decoder_input(labels), "target"),
        **attention_weights(record),
        **_stack(record.decoder, "decoder"),
        **_distribution(vocabulary, record.logits, labels),
    }
    if not record.encoder:
        return found
    return {
        "source_ids": source[0],
        "source_pieces": vocabulary.spell(source[0]),
        **_embedded(model, vocabulary, source[0], "source"),
        **_stack(record.encoder, "encoder"),
        **found,
    }


def _embedded(model: AnyModel, vocabulary: AnyVocabulary, ids: tf.Tensor, side: str) -> Tensors:
    """Returns the rows of the embedding table for ids [N], and the rows that are nearest to them by cosine."""
    table = tf.cast(model.embedding.embeddings, tf.float32)
    rows = tf.gather(table, ids)
    cosines = tf.matmul(rows, table, transpose_b=True) / (
        tf.norm(rows, axis=1, keepdims=True) * tf.norm(table, axis=1) + SMALLEST
    )
    is_own = tf.range(vocabulary.size) == ids[:, tf.newaxis]
    nearest = tf.math.top_k(tf.where(is_own, float("-inf"), cosines), min(NEIGHBOURS, vocabulary.size - 1))
    return {
        f"{side}_embeddings": rows,
        f"{side}_neighbours": vocabulary.spell(nearest.indices),
        f"{side}_cosines": nearest.values,
    }


def _stack(stack: StackRecord, side: str) -> Tensors:
    """Returns the norms and the share of active inner units of all layers."""
    steps = stack.sublayers
    norms = [tf.norm(values, axis=-1) for values in (steps.before, steps.added, steps.after)]
    return {
        f"{side}_norms": tf.stack(norms, axis=2),
        f"{side}_active": tf.reduce_mean(tf.cast(stack.inner_units > 0, tf.float32), axis=-1),
    }


def _distribution(vocabulary: AnyVocabulary, logits: tf.Tensor, labels: tf.Tensor) -> Tensors:
    """Returns what is needed to compute probabilities of pieces at several temperatures, from logits [T, V]."""
    best = tf.math.top_k(logits, min(TOP_PIECES, vocabulary.size))
    temperatures = tf.constant(TEMPERATURES)
    # One temperature at a time, because the logits of all would be large.
    normalizers = tf.map_fn(lambda temperature: tf.reduce_logsumexp(logits / temperature, axis=1), temperatures)
    return {
        "top_pieces": vocabulary.spell(best.indices),
        "top_logits": best.values,
        "chosen_logits": tf.gather(logits, labels, batch_dims=1),
        "temperatures": temperatures,
        "log_normalizers": tf.transpose(normalizers),
    }
