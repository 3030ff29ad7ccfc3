"""Left-recursive constituents and rests of larger ones (see `pipelines.trees.rests`) in a TensorFlow graph.

Trees are rows of pieces of actions, string [M, T]; other strings, such as `</s>` and "", are no brackets.
"""

from collections.abc import Collection
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.pipelines.trees.rests import REST

_END = rf"\{REST}>"  # of the piece of a rest


class Brackets(NamedTuple):
    """The brackets in M rows of pieces."""

    opens: tf.Tensor  # bool [M, T]
    closes: tf.Tensor  # bool [M, T]
    depths: tf.Tensor  # int32 [M, T], the number of open brackets after each piece

    @classmethod
    def of(cls, pieces: tf.Tensor) -> "Brackets":
        """Finds the brackets in pieces, string [M, T]."""
        opens = tf.strings.regex_full_match(pieces, r"<\(.*>")
        closes = tf.strings.regex_full_match(pieces, r"<\).*>")
        return cls(opens, closes, tf.cumsum(tf.cast(opens, tf.int32) - tf.cast(closes, tf.int32), axis=1))

    def last_opening(self, depths: tf.Tensor) -> tf.Tensor:
        """Returns for each position the last earlier opening bracket after which the depth is that in `depths`.

        `depths` and the result are int32 [M, T]; 0 if there is no such bracket.
        """
        places = tf.range(tf.shape(depths)[1])
        is_found = self.opens[:, tf.newaxis] & (self.depths[:, tf.newaxis] == depths[:, :, tf.newaxis])
        is_found &= places < places[:, tf.newaxis]
        return tf.reduce_max(tf.where(is_found, places, 0), axis=2)


class Rests(NamedTuple):
    """The rests in M rows of pieces. A rest is the child of a constituent with the label before its +."""

    opens: tf.Tensor  # bool [M, T], where a rest opens
    closes: tf.Tensor  # bool [M, T], where a rest closes
    constituents: tf.Tensor  # int32 [M, T], the number of constituents that a piece opens without rests; else 1


def rests_in(pieces: tf.Tensor) -> Rests:
    """Finds the rests in pieces, string [M, T].

    A constituent with n rests is n + 1 constituents, each the first child of the next.
    """

    def none() -> Rests:
        no = tf.zeros_like(pieces, tf.bool)
        return Rests(no, no, tf.ones_like(pieces, tf.int32))

    def found() -> Rests:
        brackets = Brackets.of(pieces)
        larger = brackets.last_opening(brackets.depths - 1)  # of an opening bracket: the bracket around it
        around = tf.gather(pieces, larger, batch_dims=1)
        opens = brackets.opens & is_named & (around == tf.strings.regex_replace(pieces, _END, ">"))
        closes = brackets.closes & tf.gather(opens, brackets.last_opening(brackets.depths + 1), batch_dims=1)
        rows = tf.range(tf.shape(pieces)[0])[:, tf.newaxis] + tf.zeros_like(larger)
        places = tf.stack([rows, larger], axis=2)
        return Rests(opens, closes, tf.tensor_scatter_nd_add(tf.ones_like(larger), places, tf.cast(opens, tf.int32)))

    is_named = tf.strings.regex_full_match(pieces, rf".*{_END}")
    return Rests(*tf.cond(tf.reduce_any(is_named), found, none))


def with_rests(pieces: tf.Tensor, labels: Collection[str]) -> tf.Tensor:
    """Rewrites left-recursive constituents with these labels, as `pipelines.trees.rests.with_rests` does.

    Args:
        pieces: The pieces of the actions of M trees, string [M, T], with "" after the end.
        labels: The labels.

    Returns:
        string [M], the pieces of each tree, separated by spaces.
    """
    brackets = Brackets.of(pieces)
    openings = brackets.last_opening(brackets.depths + 1)  # the opening bracket of each closing one
    places = tf.range(tf.shape(pieces)[1])
    is_end = brackets.closes[:, tf.newaxis] & (openings[:, tf.newaxis] == places[:, tf.newaxis])  # [M, T, T]
    ends = tf.reduce_max(tf.where(is_end, places, 0), axis=2)  # the closing bracket of each opening one
    following, end_of_following = (tf.roll(values, -1, axis=1) for values in (pieces, ends))
    known = tf.constant([f"<({label}>" for label in sorted(labels)])
    is_outer = brackets.opens & (pieces == following) & tf.reduce_any(pieces[:, :, tf.newaxis] == known, axis=2)
    is_outer &= end_of_following + 1 != ends  # it has a second child
    is_inner = tf.roll(is_outer, 1, axis=1)
    closes_outer, closes_inner = (
        brackets.closes & tf.gather(which, openings, batch_dims=1) for which in (is_outer, is_inner)
    )
    label = tf.strings.regex_replace(pieces, r"^<[()](.*)>$", r"\1")
    kept = tf.where(closes_inner, tf.strings.join(["<(", label, REST, ">"]), tf.where(is_outer, "", pieces))
    ended = tf.where(closes_outer, tf.strings.join(["<)", label, REST, "> "]), "")
    return tf.strings.reduce_join(tf.strings.join([ended, kept]), axis=1, separator=" ")
