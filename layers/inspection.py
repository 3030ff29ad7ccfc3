"""Computes attention weights for inspection.

The layers do not store their attention weights, so the functions of this module compute the weights again.
"""

from collections.abc import Sequence

import keras

from keras_nmt.layers.decoder import Decoder, DecoderLayer
from keras_nmt.layers.encoder import Encoder, EncoderLayer
from keras_nmt.layers.sublayers.attention import AttentionContext, SourceContext


def encoder_attention(encoder: Encoder, x: keras.KerasTensor, context: AttentionContext) -> list[keras.KerasTensor]:
    """Returns the self-attention weights of each layer, each float32 [B, H, S, S], for embedded tokens [B, S, D]."""
    weights = []
    for block in encoder.blocks:
        weights.append(self_attention_weights(block, x, context))
        x = block(x, context=context, training=False)
    return weights


def decoder_attention(
    decoder: Decoder, x: keras.KerasTensor, context: AttentionContext, sources: Sequence[SourceContext]
) -> tuple[list[keras.KerasTensor], list[keras.KerasTensor]]:
    """Returns the self-attention and the cross-attention weights of each layer for embedded tokens [B, T, D].

    Returns:
        Two lists with one tensor for each layer: the self-attention weights, float32 [B, H, T, T], and the
        cross-attention weights, float32 [B, H, T, S].
    """
    self_weights, cross_weights = [], []
    for block, source in zip(decoder.blocks, sources, strict=True):
        self_weights.append(self_attention_weights(block, x, context))
        cross_weights.append(cross_attention_weights(block, x, context, source))
        x = block(x, context=context, source=source, training=False)
    return self_weights, cross_weights


def cross_attention_of_layer(
    decoder: Decoder, x: keras.KerasTensor, context: AttentionContext, sources: Sequence[SourceContext], layer: int
) -> keras.KerasTensor:
    """Returns the cross-attention weights of one layer for embedded tokens [B, T, D]: float32 [B, H, T, S].

    `layer` is an index as in a Python list: 0 is the first layer, -1 the last. Later layers are not computed.
    """
    number = range(len(decoder.blocks))[layer]
    for block, source in zip(decoder.blocks[:number], sources, strict=False):
        x = block(x, context=context, source=source, training=False)
    return cross_attention_weights(decoder.blocks[number], x, context, sources[number])


def self_attention_weights(
    block: EncoderLayer | DecoderLayer, x: keras.KerasTensor, context: AttentionContext
) -> keras.KerasTensor:
    """Returns the self-attention weights of one layer for the layer's input `x` [B, T, D]: float32 [B, H, T, T]."""
    return block.self_attention.attention_weights(block.residuals[0].sublayer_input(x), context)


def cross_attention_weights(
    block: DecoderLayer, x: keras.KerasTensor, context: AttentionContext, source: SourceContext
) -> keras.KerasTensor:
    """Returns the cross-attention weights of one layer for the layer's input `x` [B, T, D]: float32 [B, H, T, S]."""
    x = block.residuals[0](x, sublayer=lambda y: block.self_attention(y, context=context), training=False)
    return block.cross_attention.attention_weights(block.residuals[1].sublayer_input(x), source)
