"""Base classes: a layer made from a configuration, a stack of such layers, and a model that embeds tokens.

Vaswani et al. 2017, section 3.1.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

import keras

from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.masks import causal_mask, padding_mask, segment_mask, segment_positions
from keras_nmt.layers.positions import PositionalEncoding, sinusoids
from keras_nmt.layers.sublayers.attention import AttentionContext
from keras_nmt.layers.sublayers.copying import Copies
from keras_nmt.layers.sublayers.dropout import Dropout
from keras_nmt.layers.sublayers.embedding import SharedEmbedding
from keras_nmt.layers.sublayers.residual import Residual, layer_normalization


class ConfiguredLayer(keras.layers.Layer):
    """A layer made from a `TransformerConfig`, or from its fields as a dictionary when Keras loads a saved model."""

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = TransformerConfig(**config) if isinstance(config, dict) else config

    def residual(self, name: str) -> Residual:
        """Returns the residual connection around the sublayer called `name`."""
        return Residual(
            self.config.normalization,
            self.config.residual_dropout,
            self.config.normalization_epsilon,
            name=f"{name}_residual",
            dtype=self.dtype_policy,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the configuration as a dictionary."""
        return {**super().get_config(), "config": asdict(self.config)}


class Stack(ConfiguredLayer):
    """A stack of `depth` layers made by `make_block`.

    If the configuration has `normalization="pre"`, the output of the last layer is normalised too.
    """

    def __init__(
        self,
        config: TransformerConfig | dict[str, Any],
        make_block: Callable[..., keras.layers.Layer],
        depth: int,
        **kwargs: Any,
    ) -> None:
        super().__init__(config, **kwargs)
        self.blocks = [make_block(self.config, name=f"layer_{i}", dtype=self.dtype_policy) for i in range(depth)]
        pre, epsilon = self.config.normalization == "pre", self.config.normalization_epsilon
        self.final_norm = layer_normalization("final_norm", epsilon, self.dtype_policy) if pre else None

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for inputs [B, T, D]."""
        for layer in (*self.blocks, *([self.final_norm] if self.final_norm else [])):
            layer.build(input_shape)

    def finish(self, x: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the last layer's output `x` [B, T, D], normalised if `normalization` is "pre", else unchanged."""
        return self.final_norm(x) if self.final_norm else x


class Outputs(NamedTuple):
    """The decoder's output, before the projection to logits."""

    states: keras.KerasTensor  # [B, T, D]
    copies: Copies | tuple[()]  # what may be copied; () if the model does not copy


class TokenModel(keras.Model):
    """Base class of the models: tokens are embedded with positions, and one matrix is also used for the logits.

    A subclass makes its stacks in the constructor and then calls `build`.
    """

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = TransformerConfig(**config) if isinstance(config, dict) else config
        c, dtype = self.config, self.dtype_policy
        self.embedding = SharedEmbedding(c.vocabulary_size, c.model_width, c.logits_bias, name="embedding", dtype=dtype)
        self.positions = PositionalEncoding(name="positions", dtype=dtype)
        self.drop = Dropout(c.residual_dropout, name="drop", dtype=dtype)

    def build(self, input_shape: Any = None) -> None:
        """Creates the weights, which do not depend on the shape of the data. The constructor calls this method."""
        if self.built:
            return
        for layer in self.layers:
            layer.build((None, None, self.config.model_width))

    def call(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """Scores the next token at each target position.

        Args:
            inputs: The inputs of `states`.
            training: True if dropout is active.

        Returns:
            Logits [B, T, V] in the compute dtype. The logits at position t score the token after target t.
        """
        return self.embedding.logits(self.states(inputs, training=training))

    def outputs(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> Outputs:
        """Returns all that the next tokens are predicted from; the arguments are those of `call`."""
        return Outputs(self.states(inputs, training=training), ())

    def states(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """Returns the decoder's output [B, T, D], before the projection to logits."""
        raise NotImplementedError

    def embed(
        self, ids: keras.KerasTensor, positions: keras.KerasTensor | None = None, training: bool | None = None
    ) -> keras.KerasTensor:
        """Embeds ids [B, T] and adds the encodings of `positions`, [T] or [B, T] (default 0 … T - 1): [B, T, D]."""
        return self.drop(self.positions(self.embedding(ids), positions=positions), training=training)

    def positional_encodings(self, length: int) -> keras.KerasTensor:
        """Returns the sinusoidal encodings of positions 0 … length - 1: float32 [length, D]."""
        return sinusoids(keras.ops.arange(length), self.config.model_width)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor, with the configuration as a dictionary."""
        return {**super().get_config(), "config": asdict(self.config)}


def target_context(inputs: Mapping[str, keras.KerasTensor]) -> AttentionContext:
    """Returns the context of the decoder's self-attention for the "target" of a batch, int32 [B, T].

    If several targets share a row ("target_segments"), each attends only to itself, and its positions start from 0.
    """
    causal = causal_mask(keras.ops.shape(inputs["target"])[1])
    if "target_segments" not in inputs:
        return AttentionContext(causal)
    segments = inputs["target_segments"]
    return AttentionContext(
        keras.ops.logical_and(causal, segment_mask(segments, segments)), segment_positions(segments)
    )


def source_and_target_contexts(
    inputs: Mapping[str, keras.KerasTensor],
) -> tuple[AttentionContext, AttentionContext, keras.KerasTensor]:
    """Returns the self-attention contexts of encoder and decoder, and the mask of the decoder's cross-attention."""
    of_target = target_context(inputs)
    if "target_segments" not in inputs:
        padding = padding_mask(inputs["source"])
        return AttentionContext(padding), of_target, padding
    source, target = inputs["source_segments"], inputs["target_segments"]
    of_source = AttentionContext(segment_mask(source, source), segment_positions(source))
    return of_source, of_target, segment_mask(target, source)
