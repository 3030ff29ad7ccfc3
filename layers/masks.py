"""Masks: which position may attend to which. True means "may attend".

Vaswani et al. 2017, section 3.2.3.
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
