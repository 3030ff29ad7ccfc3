"""The whole model: embeddings, encoder, decoder and the tied projection. Vaswani et al. 2017, Figure 1.

`call` gives logits for training with any Keras loss. `states` stops before the projection, so that a loss can
project the real tokens alone. `encode` and `cross_cache` read the sources once; `decode`, `cross_weights` and, step by
step, `decode_step` with an `empty_cache` go on from there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import keras

from layers.config import TransformerConfig
from layers.decoder import Decoder
from layers.embedding import SharedEmbedding
from layers.encoder import Encoder
from layers.masks import causal_mask, padding_mask, segment_mask, segment_positions
from layers.positions import PositionalEncoding, sinusoids
from layers.sublayers.attention import Cache, KeysValues
from layers.sublayers.dropout import Dropout


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
        self.build()

    def build(self, input_shape: Any = None) -> None:
        """Makes every weight, as the constructor does already; no shape of the data matters."""
        if self.built:
            return
        width = (None, None, self.config.model_width)
        self.embedding.build()
        for layer in (self.positions, self.encoder, self.decoder):
            layer.build(width)

    def call(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """{"source": [B, S], "target": [B, T]} -> logits [B, T, V] in the compute dtype.

        `target` is the wanted output shifted right behind BOS: logits t scores the token after target t.

        Where several pairs share a row, "source_segments" [B, S] and "target_segments" [B, T] tell them apart: 1, 2, …
        for the pairs of a row, 0 at padding. Each pair gets the logits that it has in a row of its own.
        """
        return self.embedding.logits(self.states(inputs, training=training))

    def states(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """The decoder's output before the projection: [B, T, D]."""
        if "target_segments" in inputs:
            return self.packed_states(inputs, training=training)
        memory, may_attend = self.encode(inputs["source"], training=training)
        target = self.embed(inputs["target"], training=training)
        return self.decoder(target, memory=memory, may_attend_source=may_attend, training=training)

    def packed_states(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """The same where pairs share rows: each sees itself alone, and its positions count from 0."""
        source, target = inputs["source_segments"], inputs["target_segments"]
        x = self.embed(inputs["source"], positions=segment_positions(source), training=training)
        memory = self.encoder(x, may_attend=segment_mask(source, source), training=training)
        return self.decoder(
            self.embed(inputs["target"], positions=segment_positions(target), training=training),
            memory=memory,
            may_attend_source=segment_mask(target, source),
            may_attend=segment_mask(target, target),
            training=training,
        )

    def embed(
        self, ids: keras.KerasTensor, positions: keras.KerasTensor | None = None, training: bool | None = None
    ) -> keras.KerasTensor:
        """ids [B, T] at `positions` [T] or [B, T], 0 … T - 1 if left out -> [B, T, D]."""
        return self.drop(self.positions(self.embedding(ids), positions=positions), training=training)

    def encode(
        self, source: keras.KerasTensor, training: bool | None = None
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """ids [B, S] -> the encoder's output [B, S, D] and the mask of its real positions [B, 1, 1, S]."""
        may_attend = padding_mask(source)
        x = self.embed(source, training=training)
        return self.encoder(x, may_attend=may_attend, training=training), may_attend

    def cross_cache(self, memory: keras.KerasTensor) -> list[KeysValues]:
        """What decoding needs of the encoder's output [B, S, D], projected once per sentence."""
        return self.decoder.keys_values(memory)

    def decode(
        self, target: keras.KerasTensor, *, cross: Sequence[KeysValues], may_attend_source: keras.KerasTensor
    ) -> keras.KerasTensor:
        """The logits [B, T, V] of `call` for ids [B, T], of what `cross_cache` and `encode` gave of the source."""
        x = self.embed(target, training=False)
        may_attend = causal_mask(keras.ops.shape(target)[1])
        return self.embedding.logits(self.decoder.states(x, cross, may_attend_source, may_attend, training=False))

    def cross_weights(
        self,
        target: keras.KerasTensor,
        *,
        cross: Sequence[KeysValues],
        may_attend_source: keras.KerasTensor,
        layer: int = -2,
    ) -> keras.KerasTensor:
        """How much each target position attends to each source position in one decoder layer: float32 [B, H, T, S].

        The arguments are those of `decode`: row t tells where the model looks for what follows target t. In the last
        but one layer it looks at the word that it translates (Garg et al. 2019); a decoder of one layer has that alone.
        """
        x = self.embed(target, training=False)
        return self.decoder.cross_weights(x, cross, may_attend_source, layer=max(layer, -self.config.decoder_layers))

    def attention_maps(self, source: keras.KerasTensor, target: keras.KerasTensor) -> dict[str, keras.KerasTensor]:
        """How much each position attends to each in every layer and head, to be looked at: float32 [L, B, H, T, S].

        "encoder" and "decoder" are the self-attentions, "cross" is the decoder's attention to the encoder. `source`
        [B, S] and `target` [B, T] are those of `call`.
        """
        memory, may_attend = self.encode(source, training=False)
        of_encoder = self.encoder.attention_maps(self.embed(source, training=False), may_attend)
        x = self.embed(target, training=False)
        of_decoder, of_cross = self.decoder.attention_maps(x, self.cross_cache(memory), may_attend)
        maps = {"encoder": of_encoder, "decoder": of_decoder, "cross": of_cross}
        return {name: keras.ops.stack(weights) for name, weights in maps.items()}

    def positional_encodings(self, length: int) -> keras.KerasTensor:
        """What is added to the embeddings at each of so many positions: float32 [length, D]."""
        return sinusoids(keras.ops.arange(length), self.config.model_width)

    def empty_cache(self, sentences: int, length: int) -> list[KeysValues]:
        """Zeros [sentences, H, length, D/H]: a place for the keys and values of each decoder layer."""
        return self.decoder.unfilled(sentences, length)

    def decode_step(
        self,
        tokens: keras.KerasTensor,
        positions: keras.KerasTensor,
        caches: Sequence[Cache],
        may_attend: keras.KerasTensor,
        *,
        cross: Sequence[KeysValues],
        may_attend_source: keras.KerasTensor,
    ) -> keras.KerasTensor:
        """Scores what follows each new token, with the earlier ones in `caches`.

        The new tokens of a sentence may follow each other, or be the last ones of several hypotheses: how they lie is
        for `positions` and `may_attend` to say.

        Args:
            tokens: int32 [B, T].
            positions: int32 [T], of each new token in its hypothesis.
            caches: One for each decoder layer; each gives S keys and values.
            may_attend: Which of the S each new token sees: bool, broadcast to [B, H, T, S].
            cross: From `cross_cache`.
            may_attend_source: The mask that `encode` gave.

        Returns:
            Logits [B, T, V].
        """
        x = self.embed(tokens, positions=positions, training=False)
        x = self.decoder.states(x, cross, may_attend_source, may_attend, caches=caches, training=False)
        return self.embedding.logits(x)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; the configuration as a dictionary."""
        return {**super().get_config(), "config": asdict(self.config)}
