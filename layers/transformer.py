"""The whole model: embeddings, encoder, decoder and the tied projection. Vaswani et al. 2017, Figure 1.

`call` gives logits for training with any Keras loss. `states` stops before the projection, so that a loss can
project the real tokens alone. `encode`, `cross_cache`, `empty_cache` and `decode_step` serve step-by-step decoding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras

from layers.attention import KeysValues
from layers.config import TransformerConfig
from layers.decoder import Decoder
from layers.dropout import Dropout
from layers.embedding import SharedEmbedding
from layers.encoder import Encoder
from layers.masks import padding_mask
from layers.positions import PositionalEncoding


@keras.saving.register_keras_serializable(package="nmt")
class Transformer(keras.Model):
    """An encoder and a decoder over one shared vocabulary.

    Example::

        transformer = Transformer(TransformerConfig(vocabulary_size=8000))
        logits = transformer({"source": source, "target": target})  # int32 [B, S] and [B, T] -> [B, T, 8000]
    """

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.config = TransformerConfig(**config) if isinstance(config, dict) else config
        dtype = self.dtype_policy
        self.embedding = SharedEmbedding(
            self.config.vocabulary_size,
            self.config.model_width,
            self.config.logits_bias,
            name="embedding",
            dtype=dtype,
        )
        self.positions = PositionalEncoding(name="positions", dtype=dtype)
        self.drop = Dropout(self.config.residual_dropout, name="drop", dtype=dtype)
        self.encoder = Encoder(self.config, name="encoder", dtype=dtype)
        self.decoder = Decoder(self.config, name="decoder", dtype=dtype)

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight; no shape of the data matters."""
        width = (None, None, self.config.model_width)
        self.embedding.build()
        for layer in (self.positions, self.encoder, self.decoder):
            layer.build(width)

    def call(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """{"source": [B, S], "target": [B, T]} -> logits [B, T, V] in the compute dtype.

        `target` is the wanted output shifted right behind BOS: logits t scores the token after target t.
        """
        return self.embedding.logits(self.states(inputs, training=training))

    def states(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """The decoder's output before the projection: [B, T, D]."""
        memory, may_attend = self.encode(inputs["source"], training=training)
        target = self.embed(inputs["target"], training=training)
        return self.decoder(target, memory=memory, may_attend_source=may_attend, training=training)

    def cross_weights(self, inputs: Mapping[str, keras.KerasTensor], layer: int = -2) -> keras.KerasTensor:
        """How much each target position attends to each source position in one decoder layer: float32 [B, H, T, S].

        `inputs` is that of `call`: row t tells where the model looks for what follows target t. In the last but one
        layer it looks at the word that it translates (Garg et al. 2019); a decoder of one layer has that alone.
        """
        memory, may_attend = self.encode(inputs["source"], training=False)
        target = self.embed(inputs["target"], training=False)
        layer = max(layer, -self.config.decoder_layers)
        return self.decoder.cross_weights(target, memory=memory, may_attend_source=may_attend, layer=layer)

    def embed(self, ids: keras.KerasTensor, first: int = 0, training: bool | None = None) -> keras.KerasTensor:
        """ids [B, T] at the positions first, first + 1, … -> [B, T, D]."""
        return self.drop(self.positions(self.embedding(ids), first=first), training=training)

    def encode(
        self, source: keras.KerasTensor, training: bool | None = None
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """ids [B, S] -> the encoder's output [B, S, D] and the mask of its real positions [B, 1, 1, S]."""
        may_attend = padding_mask(source)
        x = self.embed(source, training=training)
        return self.encoder(x, may_attend=may_attend, training=training), may_attend

    def cross_cache(self, memory: keras.KerasTensor) -> list[KeysValues]:
        """What decoding needs of the encoder's output [B, S, D], projected once per sentence."""
        return self.decoder.cross_cache(memory)

    def empty_cache(self, rows: int, length: int) -> list[KeysValues]:
        """Room for the keys and values of `length` target positions of `rows` hypotheses."""
        return self.decoder.empty_cache(rows, length)

    def decode_step(
        self,
        tokens: keras.KerasTensor,
        position: keras.KerasTensor,
        cache: Sequence[KeysValues],
        cross: Sequence[KeysValues],
        may_attend: keras.KerasTensor,
    ) -> tuple[keras.KerasTensor, list[KeysValues]]:
        """Scores what follows each new token, with the earlier tokens in `cache`.

        Args:
            tokens: int32 [B * K, n], the target at positions position … position + n - 1; the K hypotheses of a
                sentence are adjacent rows.
            position: int32 scalar.
            cache: From `empty_cache` or the step before.
            cross: From `cross_cache`, with B sentences.
            may_attend: The mask that `encode` gave.

        Returns:
            Logits [B * K, n, V] and the cache with the new positions.
        """
        x = self.embed(tokens, first=position, training=False)
        x, cache = self.decoder.step(x, cache, position, cross, may_attend)
        return self.embedding.logits(x), cache

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; the configuration as a dictionary."""
        return {**super().get_config(), "config": asdict(self.config)}
