"""Key/value cache that is not copied when beams are reordered.

At each position, the K beams of a sentence write their keys and values into K slots. A small table contains, for each
beam and each earlier position, the slot that belongs to the history of the beam. When beams are reordered, only this
table changes. Attention covers all slots of a sentence, and a mask restricts each beam to its own history.
"""

from collections.abc import Callable
from typing import NamedTuple, Unpack

import tensorflow as tf

from keras_nmt.app.decoding.network.protocol import Encoded, Network
from keras_nmt.app.decoding.search.hypotheses import TensorNest
from keras_nmt.layers.sublayers.attention import KeysValues

ROOM = 32  # positions that are added at once: about the length of a sentence, much less than the length limit


class BeamCache(NamedTuple):
    """The keys and values of the K beams of each of B sentences, with room for L positions.

    The decoder layers have H heads and width D.
    """

    written: TensorNest  # a tf.nest of `KeysValues`, each [B, H, L, K * D/H]; 0 if not written yet
    slots: tf.Tensor  # int32 [B * K, L], the slot of each position in a beam's history
    words_read: TensorNest  # int32 [B * K], the number of words in a beam's history; () without a `word_token`

    def of_beams(self) -> tuple[tf.Tensor, TensorNest]:
        """Returns the fields whose rows are reordered with the beams: `slots` and `words_read`."""
        return self.slots, self.words_read

    def with_room(self, network: Network, position: tf.Tensor) -> "BeamCache":
        """Returns the cache with room for `position`. A cache without this room is extended by `ROOM` positions.

        Attention reads the whole buffer, even its empty part. Most translations are much shorter than their length
        limit. So a buffer with room for the length limit from the start would make each step slower.

        Args:
            network: The network whose keys and values are cached.
            position: int32 [], a position in the cache, or the first position after its end.
        """
        return tf.cond(position < tf.shape(self.slots)[1], lambda: self, lambda: self.extended(network))

    def extended(self, network: Network) -> "BeamCache":
        """Returns the cache with `ROOM` more empty positions."""
        rows, sentences = tf.shape(self.slots)[0], tf.shape(tf.nest.flatten(self.written)[0])[0]
        more = empty_cache(network, sentences, rows // tf.maximum(sentences, 1))
        return BeamCache(
            tf.nest.map_structure(lambda full, empty: tf.concat([full, empty], axis=2), self.written, more.written),
            tf.concat([self.slots, more.slots], axis=1),
            self.words_read,
        )


class LayerCache:
    """A `layers.sublayers.attention.Cache` of one layer for one decoding step. In this step, each beam adds one token.

    Args:
        written: The layer's part of `BeamCache.written`.
        places: int32 [B * H, 3], the sentence, head and position of each row to write.
        slots: int32 [], the number of slots of a sentence, L * K.
    """

    def __init__(self, written: KeysValues, places: tf.Tensor, slots: tf.Tensor) -> None:
        self.written = written
        self.places = places
        self.slots = slots

    def append(self, new: KeysValues) -> KeysValues:
        """Writes the keys and values of the new tokens, [B, H, K, D/H].

        Returns:
            The keys and values in all slots, [B, H, L * K, D/H].
        """
        self.written = KeysValues(*(self._write(*both) for both in zip(self.written, new, strict=True)))
        shape = [-1, new.keys.shape[1], self.slots, new.keys.shape[3]]
        return KeysValues(*(tf.reshape(values, shape) for values in self.written))

    def _write(self, written: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(new, [tf.shape(self.places)[0], tf.shape(written)[3]])
        # The rows are still zero, so adding writes them. This op works in place; other scatter ops of TensorFlow copy
        # the whole buffer on a CPU.
        return tf.raw_ops.ScatterNdNonAliasingAdd(input=written, indices=self.places, updates=rows)


def empty_cache(network: Network, sentences: tf.Tensor, beams: int | tf.Tensor) -> BeamCache:
    """Returns a cache with `ROOM` empty positions for `beams` beams of each of `sentences` sentences."""
    # Without `0 * sentences`, the graph would treat these sizes as constants and fix the shape of the cache.
    length, beams = ROOM + 0 * sentences, beams + 0 * sentences
    written = tf.nest.map_structure(
        lambda zeros: tf.reshape(zeros, [sentences, zeros.shape[1], length, beams * zeros.shape[3]]),
        network.empty_cache(sentences, length * beams),
    )
    words_read = tf.zeros([sentences * beams], tf.int32) if network.word_token else ()
    return BeamCache(written, tf.zeros([sentences * beams, length], tf.int32), words_read)


def decode_step(
    network: Network, tokens: tf.Tensor, position: tf.Tensor, cache: BeamCache, **encoded: Unpack[Encoded]
) -> tuple[tf.Tensor, BeamCache]:
    """Computes the logits of the next token of each beam.

    Args:
        network: A `layers.transformer.Transformer` or an ensemble.
        tokens: int32 [B * K], the newest token of each beam. The K beams of a sentence are adjacent rows.
        position: int32 [], the position of `tokens`.
        cache: The cache of the tokens before this position.
        encoded: The encoded sources.

    Returns:
        The logits, [B * K, V], and the cache that includes `tokens`.
    """
    cache = cache.with_room(network, position)
    sentences = tf.shape(tf.nest.flatten(cache.written)[0])[0]
    length = tf.shape(cache.slots)[1]
    words_read = cache.words_read
    if network.word_token:
        words_read += tf.cast(network.is_word(tokens), tf.int32)
    tokens = tf.reshape(tokens, [sentences, -1])
    beams = tf.shape(tokens)[1]
    own = tf.tile(tf.range(beams), [sentences])[:, tf.newaxis]
    positions = tf.range(length)
    slots = tf.where(positions == position, own, cache.slots)
    in_history = (slots[:, :, tf.newaxis] == tf.range(beams)) & (positions <= position)[:, tf.newaxis]
    may_attend = tf.reshape(in_history, [sentences, 1, beams, length * beams])
    head_counts = {tensor.shape[1] for tensor in tf.nest.flatten(cache.written)}
    places = {heads: _places(sentences, heads, position) for heads in head_counts}

    def layer_cache(written: KeysValues) -> LayerCache:
        return LayerCache(written, places[written.keys.shape[1]], length * beams)

    caches = _map_layers(layer_cache, cache.written)
    of_words = [tf.reshape(words_read, tf.shape(tokens))] if network.word_token else []
    logits = network.decode_step(tokens, tf.fill([beams], position), caches, may_attend, *of_words, **encoded)
    written = tf.nest.map_structure(lambda layer: layer.written, caches)
    return tf.reshape(logits, [-1, logits.shape[-1]]), BeamCache(written, slots, words_read)


def _places(sentences: tf.Tensor, heads: int, position: tf.Tensor) -> tf.Tensor:
    """Returns the sentence, head and position of each row to write: int32 [B * H, 3]."""
    rows = tf.range(sentences * heads)
    return tf.stack([rows // heads, rows % heads, tf.fill(tf.shape(rows), position)], axis=1)


def _map_layers(function: Callable[[KeysValues], LayerCache], written: TensorNest) -> TensorNest:
    if isinstance(written, KeysValues):
        return function(written)
    return [_map_layers(function, part) for part in written]
