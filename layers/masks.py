"""Masks: which position may attend to which. True means "may attend".

Vaswani et al. 2017, section 3.2.3. Where several pairs share a row, segment ids tell them apart: 1, 2, … at the tokens
of each pair, 0 at padding. Then a position sees those of its own segment alone.
"""

import keras

PAD = 0  # the batch contract's padding id; the test of the contract holds it to the vocabulary's


def padding_mask(ids: keras.KerasTensor) -> keras.KerasTensor:
    """Lets every query see the real tokens alone: bool [B, 1, 1, S] from ids [B, S]."""
    return keras.ops.not_equal(ids, PAD)[:, None, None, :]


def causal_mask(length: int) -> keras.KerasTensor:
    """Lets a position see itself and what lies before it: bool [1, 1, length, length]."""
    positions = keras.ops.arange(length)
    return (positions[None, :] <= positions[:, None])[None, None, :, :]


def segment_mask(queries: keras.KerasTensor, keys: keras.KerasTensor) -> keras.KerasTensor:
    """Lets a position see those of the same segment: bool [B, 1, T, S] from segment ids [B, T] and [B, S].

    Padding, segment 0, sees padding alone, and no token sees it.
    """
    return keras.ops.equal(queries[:, :, None], keys[:, None, :])[:, None]


def segment_positions(segments: keras.KerasTensor) -> keras.KerasTensor:
    """Counts the positions of each segment from 0: int32 [B, T] from segment ids [B, T].

    Segments [1, 1, 1, 2, 2, 0] have positions [0, 1, 2, 0, 1, 0].
    """
    own = segment_mask(segments, segments)
    before = keras.ops.logical_and(own, causal_mask(keras.ops.shape(segments)[1]))
    return keras.ops.sum(keras.ops.cast(before, "int32"), axis=(1, 3)) - 1
