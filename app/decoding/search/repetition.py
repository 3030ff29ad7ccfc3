"""Keeps a hypothesis from saying again what it has said: a penalty on its tokens, and none of its n-grams twice."""

from typing import NamedTuple

import tensorflow as tf

from pipelines.vocabulary.tokenizer import PAD


class Repetition(NamedTuple):
    """What a search does against repetition; the values here are for nothing.

    Attributes:
        no_repeat_ngram_size: No so many tokens in a row stand in a hypothesis twice (Paulus et al. 2017, section 2.5);
            0 allows them. Forced tokens may repeat.
        repetition_penalty: The logits of a hypothesis' own tokens are divided by it where positive, multiplied where
            negative (Keskar et al. 2019, section 4.1); above 1 it makes them rarer.
    """

    no_repeat_ngram_size: int | tf.Tensor = 0
    repetition_penalty: float | tf.Tensor = 1.0


def penalized(logits: tf.Tensor, tokens: tf.Tensor, penalty: float | tf.Tensor) -> tf.Tensor:
    """The logits, float [N, V], with those of `tokens`, int32 [N, L], made less likely by `penalty`."""

    def changed() -> tf.Tensor:
        own = tf.gather(logits, tokens, batch_dims=1)  # [N, L]
        factor = tf.cast(penalty, logits.dtype)
        return tf.tensor_scatter_nd_update(logits, _places(tokens), tf.where(own > 0, own / factor, own * factor))

    return tf.cond(tf.equal(penalty, 1.0), lambda: logits, changed)


def without_repeats(logits: tf.Tensor, tokens: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """The logits, float32 [N, V], -inf for what would end an n-gram that `tokens`, int32 [N, L], holds already."""
    size = tf.convert_to_tensor(size)
    ngrams = tf.shape(tokens)[1] - size + 1

    def changed() -> tf.Tensor:
        windows = tf.gather(tokens, tf.range(ngrams)[:, tf.newaxis] + tf.range(size), axis=1)  # [N, n-grams, n]
        newest = tokens[:, tf.newaxis, ngrams:]  # [N, 1, n - 1]
        begins_so = tf.reduce_all(windows[:, :, :-1] == newest, axis=2)
        repeating = tf.where(begins_so, windows[:, :, -1], PAD)  # PAD is never chosen anyway
        nothing = tf.fill(tf.shape(repeating), tf.constant(float("-inf"), logits.dtype))
        return tf.tensor_scatter_nd_update(logits, _places(repeating), nothing)

    return tf.cond((size > 0) & (ngrams > 0), changed, lambda: logits)


def _places(tokens: tf.Tensor) -> tf.Tensor:
    """Row and column of each of `tokens` [N, L] in a table [N, V]: int32 [N, L, 2]."""
    rows = tf.broadcast_to(tf.range(tf.shape(tokens)[0])[:, tf.newaxis], tf.shape(tokens))
    return tf.stack([rows, tokens], axis=2)
