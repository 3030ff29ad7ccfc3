"""Key/value cache that is not copied when beams are reordered.

At each step, the K beams of a sentence write their keys and values into a block of K new slots. A table says for each
beam which slots belong to its history. When beams are reordered, only this table changes. Attention covers all slots of
a sentence, and the table is its mask.

Beams have most of their history in common, and most of the earlier beams have no descendants. So most slots soon belong
to no history. When the cache is full, these slots are dropped.
"""

from collections.abc import Callable
from typing import NamedTuple, Unpack

import tensorflow as tf

from keras_nmt.app.decoding.network.protocol import Encoded, Network
from keras_nmt.app.decoding.search.hypotheses import TensorNest
from keras_nmt.layers.sublayers.attention import KeysValues

ROOM_SLOTS = 80  # slots that are added at once: more make each step slower, fewer make the cache full more often
MOST_ROOM, LEAST_ROOM = 32, 4  # but so many blocks at most and at least


class BeamCache(NamedTuple):
    """The keys and values of the K beams of each of B sentences, with room for L blocks of K slots.

    The decoder layers have H heads and width D. U blocks are written, at most L.
    """

    written: TensorNest  # a tf.nest of `KeysValues`, each [B, H, L, K * D/H]; 0 if not written yet
    history: tf.Tensor  # bool [B * K, U * K], the slots that belong to a beam's history
    words_read: TensorNest  # int32 [B * K], the number of words in a beam's history; () without a `word_token`

    def of_beams(self) -> tuple[tf.Tensor, TensorNest]:
        """Returns the fields whose rows are reordered with the beams: `history` and `words_read`."""
        return self.history, self.words_read

    def with_room(self, beams: tf.Tensor) -> "BeamCache":
        """Returns the cache with room for another block of `beams` slots; see `compacted`."""
        blocks = tf.shape(tf.nest.flatten(self.written)[0])[2]
        is_full = tf.shape(self.history)[1] >= blocks * beams
        return tf.cond(is_full, lambda: self.compacted(beams), lambda: self)

    def compacted(self, beams: tf.Tensor) -> "BeamCache":
        """Returns the cache with only the slots that belong to a history, and with new empty blocks.

        Attention reads the whole buffer, even its empty part. So it has only a little room, instead of room for the
        length limit. The number of blocks is a multiple of the number of new blocks, because TensorFlow keeps compiled
        kernels for each shape.
        """
        room, slots = blocks_at_once(beams), tf.shape(self.history)[1]
        history = tf.reshape(self.history, [-1, beams, slots])
        is_used = tf.cast(tf.reduce_any(history, axis=1), tf.float32)  # [B, U * K]
        most = tf.cast(tf.reduce_max(tf.reduce_sum(is_used, axis=1)), tf.int32)
        kept = tf.minimum(-(-most // (room * beams)) * room * beams, slots)
        places = tf.math.top_k(is_used, kept).indices  # [B, kept]; the used slots come first

        def of_layer(values: tf.Tensor) -> tf.Tensor:
            sentences, heads, width = tf.shape(values)[0], values.shape[1], tf.shape(values)[3] // beams
            rows = tf.gather(tf.reshape(values, [sentences, heads, -1, width]), places, axis=2, batch_dims=1)
            blocks = tf.reshape(rows, [sentences, heads, kept // beams, beams * width])
            return tf.pad(blocks, [[0, 0], [0, 0], [0, room], [0, 0]])

        history = tf.gather(history, places, axis=2, batch_dims=1)
        return BeamCache(
            tf.nest.map_structure(of_layer, self.written), tf.reshape(history, [-1, kept]), self.words_read
        )


def blocks_at_once(beams: int | tf.Tensor) -> tf.Tensor:
    """Returns the number of blocks that a cache for `beams` beams begins with, and that are added when it is full."""
    return tf.clip_by_value(ROOM_SLOTS // beams, LEAST_ROOM, MOST_ROOM)


class LayerCache:
    """A `layers.sublayers.attention.Cache` of one layer for one decoding step. In this step, each beam adds one token.

    Args:
        written: The layer's part of `BeamCache.written`.
        places: int32 [B * H, 3], the sentence, head and block of each row to write.
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
    """Returns a cache with empty blocks for `beams` beams of each of `sentences` sentences."""
    # Without `0 * sentences`, the graph would treat these sizes as constants and fix the shape of the cache.
    beams = beams + 0 * sentences
    length = blocks_at_once(beams)
    written = tf.nest.map_structure(
        lambda zeros: tf.reshape(zeros, [sentences, zeros.shape[1], length, beams * zeros.shape[3]]),
        network.empty_cache(sentences, length * beams),
    )
    words_read = tf.zeros([sentences * beams], tf.int32) if network.word_token else ()
    return BeamCache(written, tf.zeros([sentences * beams, 0 * sentences], tf.bool), words_read)


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
    sentences = tf.shape(tf.nest.flatten(cache.written)[0])[0]
    tokens = tf.reshape(tokens, [sentences, -1])
    beams = tf.shape(tokens)[1]
    cache = cache.with_room(beams)
    words_read = cache.words_read
    if network.word_token:
        words_read += tf.cast(network.is_word(tf.reshape(tokens, [-1])), tf.int32)
    own = tf.tile(tf.range(beams), [sentences])[:, tf.newaxis] == tf.range(beams)  # the slots of the new block
    block = tf.shape(cache.history)[1] // beams
    history = tf.concat([cache.history, own], axis=1)
    slots = tf.shape(tf.nest.flatten(cache.written)[0])[2] * beams
    may_attend = tf.pad(history, [[0, 0], [0, slots - tf.shape(history)[1]]])
    may_attend = tf.reshape(may_attend, [sentences, 1, beams, slots])
    head_counts = {tensor.shape[1] for tensor in tf.nest.flatten(cache.written)}
    places = {heads: _places(sentences, heads, block) for heads in head_counts}

    def layer_cache(written: KeysValues) -> LayerCache:
        return LayerCache(written, places[written.keys.shape[1]], slots)

    caches = _map_layers(layer_cache, cache.written)
    of_words = [tf.reshape(words_read, tf.shape(tokens))] if network.word_token else []
    logits = network.decode_step(tokens, tf.fill([beams], position), caches, may_attend, *of_words, **encoded)
    written = tf.nest.map_structure(lambda layer: layer.written, caches)
    return tf.reshape(logits, [-1, logits.shape[-1]]), BeamCache(written, history, words_read)


def _places(sentences: tf.Tensor, heads: int, block: tf.Tensor) -> tf.Tensor:
    """Returns the sentence, head and block of each row to write: int32 [B * H, 3]."""
    rows = tf.range(sentences * heads)
    return tf.stack([rows // heads, rows % heads, tf.fill(tf.shape(rows), block)], axis=1)


def _map_layers(function: Callable[[KeysValues], LayerCache], written: TensorNest) -> TensorNest:
    if isinstance(written, KeysValues):
        return function(written)
    return [_map_layers(function, part) for part in written]
