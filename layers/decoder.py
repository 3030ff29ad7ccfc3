"""The decoder: masked self-attention, attention to the encoder, feed-forward. Vaswani et al. 2017, section 3.1.

A decoder runs over a whole sequence, or over new positions alone with caches of what came before; both are the same
code, and a property test holds them equal for every split.
"""

from collections.abc import Sequence
from typing import Any

import keras

from layers.config import TransformerConfig
from layers.masks import causal_mask
from layers.stack import ConfiguredLayer, Stack
from layers.sublayers.attention import Cache, CrossAttention, KeysValues, SelfAttention
from layers.sublayers.feed_forward import FeedForward


@keras.saving.register_keras_serializable(package="nmt")
class DecoderLayer(ConfiguredLayer):
    """Masked self-attention, encoder-decoder attention, then feed-forward, each in its residual connection."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        c, dtype = self.config, self.dtype_policy
        attention = (c.heads, c.attention_dropout, c.attention_bias)
        self.self_attention = SelfAttention(*attention, name="self_attention", dtype=dtype)
        self.cross_attention = CrossAttention(*attention, name="cross_attention", dtype=dtype)
        self.feed_forward = FeedForward(c.inner_width, c.inner_dropout, c.activation, name="feed_forward", dtype=dtype)
        self.residuals = [self.residual(n) for n in ("self_attention", "cross_attention", "feed_forward")]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Makes the weights for inputs [B, T, D]."""
        layers: list[keras.layers.Layer] = [
            self.self_attention,
            self.cross_attention,
            self.feed_forward,
            *self.residuals,
        ]
        for layer in layers:
            layer.build(input_shape)

    def call(
        self,
        x: keras.KerasTensor,
        memory: KeysValues,
        may_attend_source: keras.KerasTensor,
        may_attend: keras.KerasTensor,
        *,
        cache: Cache | None = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """[B, T, D] and the encoder's output, projected to keys and values -> [B, T, D]."""
        x = self.residuals[0](
            x,
            sublayer=lambda y: self.self_attention(y, may_attend=may_attend, cache=cache, training=training),
            training=training,
        )
        x = self.residuals[1](
            x,
            sublayer=lambda y: self.cross_attention(y, memory=memory, may_attend=may_attend_source, training=training),
            training=training,
        )
        return self.residuals[2](x, sublayer=lambda y: self.feed_forward(y, training=training), training=training)

    def self_weights(self, x: keras.KerasTensor, may_attend: keras.KerasTensor) -> keras.KerasTensor:
        """How much each position of [B, T, D] attends to each: float32 [B, H, T, T]."""
        return self.self_attention.attention_weights(self.residuals[0].sublayer_input(x), may_attend)

    def cross_weights(
        self,
        x: keras.KerasTensor,
        memory: KeysValues,
        may_attend_source: keras.KerasTensor,
        may_attend: keras.KerasTensor,
    ) -> keras.KerasTensor:
        """How much each position of [B, T, D] attends to each of the encoder's output: float32 [B, H, T, S]."""
        x = self.residuals[0](x, sublayer=lambda y: self.self_attention(y, may_attend=may_attend), training=False)
        x = self.residuals[1].sublayer_input(x)
        return self.cross_attention.attention_weights(x, memory, may_attend_source)


@keras.saving.register_keras_serializable(package="nmt")
class Decoder(Stack):
    """`config.decoder_layers` decoder layers."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        depth = config["decoder_layers"] if isinstance(config, dict) else config.decoder_layers
        super().__init__(config, make_block=DecoderLayer, depth=depth, **kwargs)

    def call(
        self,
        x: keras.KerasTensor,
        memory: keras.KerasTensor,
        may_attend_source: keras.KerasTensor,
        may_attend: keras.KerasTensor | None = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """[B, T, D] and the encoder's output [B, S, D] -> [B, T, D]; no position sees a later one.

        `may_attend`, broadcast to [B, H, T, T], lets a position see only some of itself and those before.
        """
        mask = causal_mask(keras.ops.shape(x)[1])
        if may_attend is not None:
            mask = keras.ops.logical_and(mask, may_attend)
        return self.states(x, self.keys_values(memory), may_attend_source, mask, training=training)

    def states(
        self,
        x: keras.KerasTensor,
        memory: Sequence[KeysValues],
        may_attend_source: keras.KerasTensor,
        may_attend: keras.KerasTensor,
        *,
        caches: Sequence[Cache] | None = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """[B, T, D] and what `keys_values` gave -> [B, T, D]; with caches, a layer each, x is new positions alone."""
        for i, block in enumerate(self.blocks):
            x = block(
                x,
                memory=memory[i],
                may_attend_source=may_attend_source,
                may_attend=may_attend,
                cache=caches[i] if caches else None,
                training=training,
            )
        return self.finish(x)

    def cross_weights(
        self, x: keras.KerasTensor, memory: Sequence[KeysValues], may_attend_source: keras.KerasTensor, layer: int
    ) -> keras.KerasTensor:
        """How much each position of [B, T, D] attends to the encoder's output in one layer: float32 [B, H, T, S].

        `memory` is what `keys_values` gave; `layer` counts from 0, or from -1 backwards.
        """
        length = keras.ops.shape(x)[1]
        masks = {"may_attend_source": may_attend_source, "may_attend": causal_mask(length)}
        number = range(len(self.blocks))[layer]
        for block, own in zip(self.blocks[:number], memory, strict=False):
            x = block(x, memory=own, **masks, training=False)
        return self.blocks[number].cross_weights(x, memory=memory[number], **masks)

    def attention_maps(
        self, x: keras.KerasTensor, memory: Sequence[KeysValues], may_attend_source: keras.KerasTensor
    ) -> tuple[list[keras.KerasTensor], list[keras.KerasTensor]]:
        """By layer, how much each position of [B, T, D] attends to each, and to each of the encoder's output.

        float32 [B, H, T, T] and [B, H, T, S].
        """
        masks = {"may_attend_source": may_attend_source, "may_attend": causal_mask(keras.ops.shape(x)[1])}
        own_weights, cross_weights = [], []
        for block, own in zip(self.blocks, memory, strict=True):
            own_weights.append(block.self_weights(x, masks["may_attend"]))
            cross_weights.append(block.cross_weights(x, memory=own, **masks))
            x = block(x, memory=own, **masks, training=False)
        return own_weights, cross_weights

    def keys_values(self, memory: keras.KerasTensor) -> list[KeysValues]:
        """Each layer's keys and values of the encoder's output [B, S, D]."""
        return [block.cross_attention.keys_values(memory) for block in self.blocks]

    def unfilled(self, sentences: int, length: int) -> list[KeysValues]:
        """Zeros [sentences, H, length, D/H] for each layer's keys and values."""
        head_width = self.config.model_width // self.config.heads
        zeros = keras.ops.zeros((sentences, self.config.heads, length, head_width), dtype=self.compute_dtype)
        return [KeysValues(zeros, zeros) for _ in self.blocks]
