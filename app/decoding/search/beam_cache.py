"""What the beams of a search have said, as keys and values that stay where they were written.

The K beams of a sentence write the keys and values of one position side by side, each in its slot. When beams change
places, nothing moves but a small table: it says in which slot each position of a beam's history stands. Attention goes
over all slots of a sentence, and a mask lets each beam see its own history.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from layers.sublayers.attention import KeysValues

ROOM = 32  # positions added at a time: as many as a sentence has, and few against the limit


class BeamCache(NamedTuple):
    """The histories of the K beams of each of B sentences, with room for L positions."""

    slots: tf.Tensor  # int32 [B * K, L], 0 … K - 1; to be reordered as the beams are
    written: Any  # a tf.nest of `KeysValues` of [B, H, L, K * D/H], 0 where nothing is written yet

    def with_room(self, transformer: Any, position: tf.Tensor) -> "BeamCache":
        """The cache with room for `position` (int32 []), which is at most one beyond those it has.

        Attention reads the whole buffer, filled or not. Most translations are much shorter than their limit, so room
        for all of it from the start would make each step slower.
        """
        return tf.cond(position < tf.shape(self.slots)[1], lambda: self, lambda: self.longer(transformer))

    def longer(self, transformer: Any) -> "BeamCache":
        """The cache with `ROOM` empty positions behind those it has."""
        rows, sentences = tf.shape(self.slots)[0], tf.shape(tf.nest.flatten(self.written)[0])[0]
        more = empty_cache(transformer, sentences, rows // tf.maximum(sentences, 1))
        return BeamCache(
            tf.concat([self.slots, more.slots], axis=1),
            tf.nest.map_structure(lambda full, empty: tf.concat([full, empty], axis=2), self.written, more.written),
        )


class LayerCache:
    """A `layers.sublayers.attention.Cache` of one layer for one step, in which each beam appends one token.

    Args:
        written: its part of `BeamCache.written`.
        places: int32 [B * H, 3], the sentence, head and position of each row to write.
        every: int32 [], L * K.
    """

    def __init__(self, written: KeysValues, places: tf.Tensor, every: tf.Tensor) -> None:
        self.written = written
        self.places = places
        self.every = every

    def append(self, new: KeysValues) -> KeysValues:
        """Writes those of the new tokens, [B, H, K, D/H], and gives those of all slots, [B, H, L * K, D/H]."""
        self.written = KeysValues(*(self._with(*both) for both in zip(self.written, new, strict=True)))
        shape = [-1, new.keys.shape[1], self.every, new.keys.shape[3]]
        return KeysValues(*(tf.reshape(values, shape) for values in self.written))

    def _with(self, written: tf.Tensor, new: tf.Tensor) -> tf.Tensor:
        rows = tf.reshape(new, [tf.shape(self.places)[0], tf.shape(written)[3]])
        # Added to zeros, for this op works in place, and TensorFlow's other scatters copy the whole buffer on a CPU.
        return tf.raw_ops.ScatterNdNonAliasingAdd(input=written, indices=self.places, updates=rows)


def empty_cache(transformer: Any, sentences: tf.Tensor, beams: int | tf.Tensor) -> BeamCache:
    """A cache with `ROOM` empty positions."""
    length, beams = ROOM + 0 * sentences, beams + 0 * sentences  # no constants, or a graph would hold the cache to them
    written = tf.nest.map_structure(
        lambda zeros: tf.reshape(zeros, [sentences, zeros.shape[1], length, beams * zeros.shape[3]]),
        transformer.empty_cache(sentences, length * beams),
    )
    return BeamCache(tf.zeros([sentences * beams, length], tf.int32), written)


def decode_step(
    transformer: Any, tokens: tf.Tensor, position: tf.Tensor, cache: BeamCache, **encoded: Any
) -> tuple[tf.Tensor, BeamCache]:
    """Scores what follows the newest token of each beam.

    Args:
        transformer: a `layers.transformer.Transformer`, or what has its decoding methods.
        tokens: int32 [B * K]; the K beams of a sentence are adjacent rows.
        position: int32 [], of these tokens.
        cache: of the tokens before them.
        encoded: `cross` and `may_attend_source`, as `transformer.decode_step` takes them.

    Returns:
        Logits [B * K, V], and the cache with the tokens.
    """
    cache = cache.with_room(transformer, position)
    sentences = tf.shape(tf.nest.flatten(cache.written)[0])[0]
    length = tf.shape(cache.slots)[1]
    tokens = tf.reshape(tokens, [sentences, -1])
    beams = tf.shape(tokens)[1]
    own = tf.tile(tf.range(beams), [sentences])[:, tf.newaxis]
    positions = tf.range(length)
    slots = tf.where(positions == position, own, cache.slots)
    in_history = (slots[:, :, tf.newaxis] == tf.range(beams)) & (positions <= position)[:, tf.newaxis]
    may_attend = tf.reshape(in_history, [sentences, 1, beams, length * beams])
    numbers_of_heads = {tensor.shape[1] for tensor in tf.nest.flatten(cache.written)}
    places = {heads: _places(sentences, heads, position) for heads in numbers_of_heads}

    def layer_cache(written: KeysValues) -> LayerCache:
        return LayerCache(written, places[written.keys.shape[1]], length * beams)

    caches = _of_each_layer(layer_cache, cache.written)
    logits = transformer.decode_step(tokens, tf.fill([beams], position), caches, may_attend, **encoded)
    written = tf.nest.map_structure(lambda layer: layer.written, caches)
    return tf.reshape(logits, [-1, logits.shape[-1]]), BeamCache(slots, written)


def _places(sentences: tf.Tensor, heads: int, position: tf.Tensor) -> tf.Tensor:
    """int32 [B * H, 3]: the sentence and the head of each row, and the position."""
    every = tf.range(sentences * heads)
    return tf.stack([every // heads, every % heads, tf.fill(tf.shape(every), position)], axis=1)


def _of_each_layer(of: Callable[[KeysValues], LayerCache], written: Any) -> Any:
    if isinstance(written, KeysValues):
        return of(written)
    return [_of_each_layer(of, some) for some in written]
