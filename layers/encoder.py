"""The encoder: a stack of self-attention and feed-forward layers. Vaswani et al. 2017, section 3.1."""

from collections.abc import Callable
from typing import Any

import keras

from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.stack import ConfiguredLayer, Stack
from keras_nmt.layers.sublayers.attention import AttentionContext, SelfAttention
from keras_nmt.layers.sublayers.feed_forward import FeedForward


@keras.saving.register_keras_serializable(package="nmt")
class EncoderLayer(ConfiguredLayer):
    """Self-attention, then feed-forward, each with a residual connection."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        c, dtype = self.config, self.dtype_policy
        attention = (c.heads, c.attention_dropout, c.attention_bias)
        self.self_attention = SelfAttention(*attention, name="self_attention", dtype=dtype)
        self.feed_forward = FeedForward(c.inner_width, c.inner_dropout, c.activation, name="feed_forward", dtype=dtype)
        self.residuals = [self.residual("self_attention"), self.residual("feed_forward")]

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for inputs [B, S, D]."""
        layers: list[keras.layers.Layer] = [self.self_attention, self.feed_forward, *self.residuals]
        for layer in layers:
            layer.build(input_shape)

    def call(self, x: keras.KerasTensor, context: AttentionContext, training: bool | None = None) -> keras.KerasTensor:
        """Computes the layer: [B, S, D] -> [B, S, D]."""
        for residual, sublayer in zip(self.residuals, self.sublayers(context, training), strict=True):
            x = residual(x, sublayer=sublayer, training=training)
        return x

    def sublayers(
        self, context: AttentionContext, training: bool | None = None
    ) -> list[Callable[[keras.KerasTensor], keras.KerasTensor]]:
        """Returns the functions that `residuals` connect, each [B, S, D] -> [B, S, D]."""
        return [
            lambda y: self.self_attention(y, context=context, training=training),
            lambda y: self.feed_forward(y, training=training),
        ]


@keras.saving.register_keras_serializable(package="nmt")
class Encoder(Stack):
    """A stack of `config.encoder_layers` encoder layers."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        depth = config["encoder_layers"] if isinstance(config, dict) else config.encoder_layers
        super().__init__(config, make_block=EncoderLayer, depth=depth, **kwargs)

    def call(self, x: keras.KerasTensor, context: AttentionContext, training: bool | None = None) -> keras.KerasTensor:
        """Encodes embedded tokens: [B, S, D] -> [B, S, D]. All layers use the same `context`."""
        for block in self.blocks:
            x = block(x, context=context, training=training)
        return self.finish(x)
