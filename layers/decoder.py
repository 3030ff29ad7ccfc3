"""The decoder: masked self-attention, attention to the encoder, feed-forward. Vaswani et al. 2017, section 3.1.

The same code decodes a whole sequence at once, or only the new tokens if caches hold the keys and values of the earlier
tokens. A property test checks that both ways give the same result, no matter where a sequence is split into earlier and
new tokens.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras

from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.stack import ConfiguredLayer, Stack
from keras_nmt.layers.sublayers.attention import (
    AttentionContext,
    CrossAttention,
    KeysValues,
    SelfAttention,
    SourceContext,
)
from keras_nmt.layers.sublayers.feed_forward import FeedForward


@keras.saving.register_keras_serializable(package="nmt")
class DecoderLayer(ConfiguredLayer):
    """Masked self-attention, encoder-decoder attention, then feed-forward, each with a residual connection.

    In a model without an encoder (`encoder_layers` is 0), the layer has no encoder-decoder attention.
    """

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        c, dtype = self.config, self.dtype_policy
        attention = (c.heads, c.attention_dropout, c.attention_bias)
        self.self_attention = SelfAttention(*attention, name="self_attention", dtype=dtype)
        self.attends_source = c.encoder_layers > 0
        if self.attends_source:
            self.cross_attention = CrossAttention(*attention, name="cross_attention", dtype=dtype)
        self.feed_forward = FeedForward(c.inner_width, c.inner_dropout, c.activation, name="feed_forward", dtype=dtype)
        attentions = ("self_attention", "cross_attention") if self.attends_source else ("self_attention",)
        self.residuals = [self.residual(name) for name in (*attentions, "feed_forward")]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for inputs [B, T, D]."""
        layers: list[keras.layers.Layer] = [self.self_attention, self.feed_forward, *self.residuals]
        if self.attends_source:
            layers.insert(1, self.cross_attention)
        for layer in layers:
            layer.build(input_shape)

    def call(
        self,
        x: keras.KerasTensor,
        context: AttentionContext,
        source: SourceContext | None = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """Computes the layer: [B, T, D] -> [B, T, D].

        `context` is passed to the self-attention, and `source` to the encoder-decoder attention, if there is one.
        """
        for residual, sublayer in zip(self.residuals, self.sublayers(context, source, training), strict=True):
            x = residual(x, sublayer=sublayer, training=training)
        return x

    def sublayers(
        self, context: AttentionContext, source: SourceContext | None = None, training: bool | None = None
    ) -> list[Callable[[keras.KerasTensor], keras.KerasTensor]]:
        """Returns the functions that `residuals` connect, each [B, T, D] -> [B, T, D]. The arguments are as in `call`.

        They are the self-attention, the encoder-decoder attention if there is one, and the feed-forward network.
        """
        found: list[Callable[[keras.KerasTensor], keras.KerasTensor]] = [
            lambda y: self.self_attention(y, context=context, training=training)
        ]
        if self.attends_source:
            found.append(lambda y: self.cross_attention(y, source=source, training=training))
        return [*found, lambda y: self.feed_forward(y, training=training)]


@keras.saving.register_keras_serializable(package="nmt")
class Decoder(Stack):
    """A stack of `config.decoder_layers` decoder layers."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        depth = config["decoder_layers"] if isinstance(config, dict) else config.decoder_layers
        super().__init__(config, make_block=DecoderLayer, depth=depth, **kwargs)

    def call(
        self,
        x: keras.KerasTensor,
        contexts: Sequence[AttentionContext],
        sources: Sequence[SourceContext] | None = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """Decodes embedded tokens: [B, T, D] -> [B, T, D].

        Args:
            x: The embedded target tokens. If `contexts` have caches, only the new tokens.
            contexts: For each layer, the mask, positions and cache of the self-attention. The masks must hide later
                positions.
            sources: For each layer, the keys, values and mask of the encoder-decoder attention. None if the model has
                no encoder.
            training: True if dropout is active.
        """
        of_layers: Sequence[SourceContext | None] = sources or [None] * len(self.blocks)
        for block, context, source in zip(self.blocks, contexts, of_layers, strict=True):
            x = block(x, context=context, source=source, training=training)
        return self.finish(x)

    def keys_values(self, memory: keras.KerasTensor) -> list[KeysValues]:
        """Projects the encoder's output [B, S, D] to the keys and values of each layer."""
        return [block.cross_attention.keys_values(memory) for block in self.blocks]

    def zero_keys_values(self, sentences: int, length: int) -> list[KeysValues]:
        """Returns keys and values for each layer that are all zero: [sentences, H, length, D/H]."""
        head_width = self.config.model_width // self.config.heads
        zeros = keras.ops.zeros((sentences, self.config.heads, length, head_width), dtype=self.compute_dtype)
        return [KeysValues(zeros, zeros) for _ in self.blocks]
