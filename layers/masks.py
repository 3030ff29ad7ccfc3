"""Masks: which position may attend to which. True means "may attend".

Vaswani et al. 2017, section 3.2.3.
"""

import keras

PAD = 0  # the batch contract's padding id; the test of the contract holds it to the vocabulary's


def padding_mask(ids: keras.KerasTensor) -> keras.KerasTensor:
    """Lets every query see the real tokens alone: bool [B, 1, 1, S] from ids [B, S]."""
    return keras.ops.not_equal(ids, PAD)[:, None, None, :]


def causal_mask(queries: int, keys: int, first_query: int = 0) -> keras.KerasTensor:
    """Lets a position see itself and what lies before it: bool [1, 1, queries, keys].

    `first_query` is the position of the first query among the keys. Two queries that start at position 1 of
    four keys::

        causal_mask(2, 4, first_query=1)  ->  1 1 0 0
                                              1 1 1 0
    """
    query_positions = keras.ops.arange(queries) + first_query
    key_positions = keras.ops.arange(keys)
    return (key_positions[None, :] <= query_positions[:, None])[None, None, :, :]
