"""Records what the layers of a model compute, for inspection.

The layers do not store their tensors. So the functions of this module compute a forward pass without dropout again,
with the same methods of the layers, and return all tensors.
"""

from collections.abc import Sequence
from typing import NamedTuple

import keras

from keras_nmt.layers.decoder import Decoder, DecoderLayer
from keras_nmt.layers.encoder import Encoder, EncoderLayer
from keras_nmt.layers.sublayers.attention import AttentionContext, AttentionSteps, SourceContext
from keras_nmt.layers.sublayers.residual import ResidualSteps


class LayerRecord(NamedTuple):
    """The tensors of one layer of an encoder or decoder. The length of the layer's input is T, its inner width F."""

    sublayers: list[ResidualSteps]  # in the order of the sublayers
    attentions: list[AttentionSteps]  # the self-attention, and the attention to the source if there is one
    inner_units: keras.KerasTensor  # [B, T, F], of the feed-forward network, after the activation


class ModelRecord(NamedTuple):
    """The tensors of a forward pass for S source and T target tokens. Without an encoder, the first two are ()."""

    encoder: list[LayerRecord] | tuple[()]
    memory: keras.KerasTensor | tuple[()]  # [B, S, D], the encoder's output
    decoder: list[LayerRecord]
    logits: keras.KerasTensor  # [B, T, V]


def record_encoder(encoder: Encoder, x: keras.KerasTensor, context: AttentionContext) -> list[LayerRecord]:
    """Returns the record of each layer of an encoder for embedded tokens [B, S, D]."""
    records: list[LayerRecord] = []
    for block in encoder.blocks:
        records.append(_record_layer(block, x, context))
        x = records[-1].sublayers[-1].after
    return records


def record_decoder(
    decoder: Decoder,
    x: keras.KerasTensor,
    contexts: Sequence[AttentionContext],
    sources: Sequence[SourceContext] | None = None,
) -> list[LayerRecord]:
    """Returns the record of each layer of a decoder for embedded tokens [B, T, D].

    `contexts` and `sources` are as in `Decoder.call`.
    """
    records: list[LayerRecord] = []
    of_layers: Sequence[SourceContext | None] = sources or [None] * len(decoder.blocks)
    for block, context, source in zip(decoder.blocks, contexts, of_layers, strict=True):
        records.append(_record_layer(block, x, context, source))
        x = records[-1].sublayers[-1].after
    return records


def _record_layer(
    block: EncoderLayer | DecoderLayer,
    x: keras.KerasTensor,
    context: AttentionContext,
    source: SourceContext | None = None,
) -> LayerRecord:
    of_source = (context,) if source is None else (context, source)
    steps: list[ResidualSteps] = []
    for residual, sublayer in zip(block.residuals, block.sublayers(*of_source), strict=True):
        steps.append(residual.steps(x, sublayer, training=False))
        x = steps[-1].after
    attentions = [block.self_attention.steps(steps[0].read, context)]
    if source is not None:
        attentions.append(block.cross_attention.steps(steps[1].read, source))
    return LayerRecord(steps, attentions, block.feed_forward.inner_units(steps[-1].read))


def attention_maps(record: ModelRecord) -> dict[str, keras.KerasTensor]:
    """Returns the attention weights of every layer and head, each float32 [layers, B, H, queries, keys].

    The weights are the self-attention of the "encoder" and the "decoder", and the decoder's attention to the encoder
    ("cross"). A model without an encoder has only those of the "decoder".
    """
    maps = {"decoder": keras.ops.stack([layer.attentions[0].weights for layer in record.decoder])}
    if record.encoder:
        maps["encoder"] = keras.ops.stack([layer.attentions[0].weights for layer in record.encoder])
        maps["cross"] = keras.ops.stack([layer.attentions[1].weights for layer in record.decoder])
    return maps


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


def cross_attention_weights(
    block: DecoderLayer, x: keras.KerasTensor, context: AttentionContext, source: SourceContext
) -> keras.KerasTensor:
    """Returns the cross-attention weights of one layer for the layer's input `x` [B, T, D]: float32 [B, H, T, S]."""
    x = block.residuals[0](x, sublayer=block.sublayers(context, source)[0], training=False)
    return block.cross_attention.steps(block.residuals[1].sublayer_input(x), source).weights
