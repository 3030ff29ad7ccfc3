"""A transformer's cache that is given room as hypotheses grow.

Attention reads, and the reordering of beams copies, the whole buffer of a cache, filled or not. Most translations are
much shorter than their limit, so room for all of it from the start would make each step slower.
"""

from typing import Any

import tensorflow as tf

ROOM = 32  # positions added at a time: as many as a sentence has, and few against the limit
Cache = Any  # a tf.nest of tensors [rows, …], one axis of which is the positions


class GrowingCache:
    """Makes a cache, and makes it longer when it is full."""

    def __init__(self, transformer: Any) -> None:
        self.transformer = transformer
        one, two = transformer.empty_cache(1, 1), transformer.empty_cache(1, 2)
        self.position_axes = tf.nest.map_structure(_differing_axis, one, two)

    def room(self, rows: tf.Tensor) -> Cache:
        """An empty cache of `ROOM` positions for so many hypotheses."""
        length = ROOM + 0 * rows  # no constant, or a graph would hold the cache to this length
        return self.transformer.empty_cache(rows, length)

    def with_room(self, cache: Cache, position: tf.Tensor) -> Cache:
        """The cache with room for `position` (int32 []), which is at most one beyond those it has."""
        axis, first = tf.nest.flatten(self.position_axes)[0], tf.nest.flatten(cache)[0]
        return tf.cond(position < tf.shape(first)[axis], lambda: cache, lambda: self.longer(cache))

    def longer(self, cache: Cache) -> Cache:
        """The cache with `ROOM` empty positions behind those it has."""
        empty = self.room(tf.shape(tf.nest.flatten(cache)[0])[0])
        return tf.nest.map_structure(
            lambda axis, full, empty: tf.concat([full, empty], axis), self.position_axes, cache, empty
        )


def _differing_axis(one: tf.Tensor, two: tf.Tensor) -> int:
    return [a == b for a, b in zip(one.shape, two.shape, strict=True)].index(False)
