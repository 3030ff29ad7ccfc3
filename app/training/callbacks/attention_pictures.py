"""Draws attention weights as pictures for TensorBoard."""

from collections.abc import Mapping, Sequence

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_nmt.layers import inspection
from keras_nmt.layers.transformer import Transformer
from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS

CELL = 8  # pixels on each side of a weight's square
GAP = 6  # pixels between two heads
# The colours of the weights 0, 0.25, 0.5, 0.75 and 1, from dark to bright, from matplotlib's "viridis". Colours between
# these are interpolated linearly.
COLOURS = np.array([[68, 1, 84], [59, 82, 139], [33, 145, 140], [94, 201, 98], [253, 231, 37]], np.float32)
BACKGROUND = 255


def attention_picture(weights: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Draws the attention maps of all layers and heads in a grid.

    Args:
        weights: The attention weights [L, H, T, S] of T queries and S keys, in [0, 1].

    Returns:
        An RGB picture, uint8 [height, width, 3]. The picture has a row of maps for each layer and a column of maps for
        each head. Within a map, each query is a row of squares and each key is a column of squares. The brighter a
        square, the larger is the weight.
    """
    at = np.clip(weights, 0.0, 1.0) * (len(COLOURS) - 1)
    below = np.minimum(at.astype(int), len(COLOURS) - 2)
    share = (at - below)[..., None]
    pixels = (COLOURS[below] * (1 - share) + COLOURS[below + 1] * share).round().astype(np.uint8)  # [L, H, T, S, 3]
    pixels = pixels.repeat(CELL, axis=2).repeat(CELL, axis=3)
    margins = ((0, 0), (0, 0), (0, GAP), (0, GAP), (0, 0))
    pixels = np.pad(pixels, margins, constant_values=BACKGROUND)
    layers, heads, height, width, _ = pixels.shape
    grid = pixels.transpose(0, 2, 1, 3, 4).reshape(layers * height, heads * width, 3)
    return grid[:-GAP, :-GAP]


def write_attention(transformer: Transformer, vocabulary: AnyVocabulary, sentences: Sequence[tuple[str, str]]) -> None:
    """Writes the attention weights of sentences and their translations to the current TensorBoard writer.

    For each sentence, there are three pictures: the encoder's self-attention, the decoder's self-attention and the
    cross-attention. A text beside the pictures lists the pieces that their rows and columns stand for.

    Args:
        transformer: The model.
        vocabulary: The model's vocabulary.
        sentences: Pairs of a source sentence, including its tags, and its translation.
    """
    words = vocabulary.pieces()
    for number, pair in enumerate(sentences, start=1):
        source, target = ([*ids, EOS] for ids in vocabulary.encode_in_python(list(pair)))
        read = [BOS, *target[:-1]]  # the decoder's input: the translation, shifted right
        for name, maps in attention_maps(transformer, source, read).items():
            tf.summary.image(f"attention {number}/{name}", attention_picture(maps)[None])
        rows = (f"{side} | {' '.join(words[i] for i in ids)}" for side, ids in (("source", source), ("target", read)))
        tf.summary.text(f"attention {number}/pieces", "\n".join(("side | pieces", "---|---", *rows)))


def attention_maps(
    transformer: Transformer, source: Sequence[int], target: Sequence[int]
) -> Mapping[str, NDArray[np.float32]]:
    """Returns the attention weights of one sentence pair by name: "encoder", "decoder" and "cross".

    Args:
        transformer: The model.
        source: The ids of the source, with EOS.
        target: The ids of the decoder's input: BOS and the translation.

    Returns:
        The weights of each kind of attention, float32 [L, H, queries, keys].
    """
    record = transformer.record(np.array([source], np.int32), np.array([target], np.int32))
    maps = inspection.attention_maps(record)
    of_pair = {name: keras.ops.cast(weights[:, 0], "float32") for name, weights in maps.items()}
    return {name: keras.ops.convert_to_numpy(weights) for name, weights in of_pair.items()}
