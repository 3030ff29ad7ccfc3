"""Attention masks. True means that a query may attend to a key.

Vaswani et al. 2017, section 3.2.3. If several sentence pairs share a row, segment ids separate the pairs. The segment
id is 1 at the tokens of the first pair, 2 at the tokens of the second pair, and so on, and 0 at padding. A position
attends only to positions with the same segment id.
"""

import keras

# The ids of padding and of the end of a sentence; a test checks that the vocabulary has the same ids.
PAD, EOS = 0, 3


def padding_mask(ids: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a mask that is True at the real tokens of ids [B, S]: bool [B, 1, 1, S]."""
    return keras.ops.not_equal(ids, PAD)[:, None, None, :]


def causal_mask(length: int) -> keras.KerasTensor:
    """Returns a mask that hides later positions: bool [1, 1, length, length].

    With this mask, a position attends only to itself and to earlier positions.
    """
    positions = keras.ops.arange(length)
    return (positions[None, :] <= positions[:, None])[None, None, :, :]


def segment_mask(queries: keras.KerasTensor, keys: keras.KerasTensor) -> keras.KerasTensor:
    """Returns a mask that is True where query and key have the same segment id: bool [B, 1, T, S].

    Padding has segment id 0. So padding attends only to padding, and no token attends to padding.

    Args:
        queries: Segment ids of the queries, int32 [B, T].
        keys: Segment ids of the keys, int32 [B, S].
    """
    return keras.ops.equal(queries[:, :, None], keys[:, None, :])[:, None]


def segment_positions(segments: keras.KerasTensor) -> keras.KerasTensor:
    """Numbers the positions within each segment from 0: int32 [B, T] from segment ids [B, T].

    Segment ids [1, 1, 1, 2, 2, 0, 0] give positions [0, 1, 2, 0, 1, 0, 1]. Padding is numbered like a segment.
    """
    own = segment_mask(segments, segments)
    before = keras.ops.logical_and(own, causal_mask(keras.ops.shape(segments)[1]))
    return keras.ops.sum(keras.ops.cast(before, "int32"), axis=(1, 3)) - 1
