"""A decoder-only language model: embeddings, decoder layers without attention to an encoder, and the tied projection.

It is the decoder of Vaswani et al. 2017, section 3.1, without the attention to the encoder (Liu et al. 2018, section
4.2.3, "Generating Wikipedia by Summarizing Long Sequences"; Radford et al. 2018). Positions, dropout and initialisation
are those of `Transformer`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_nmt.layers import inspection
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.decoder import Decoder
from keras_nmt.layers.inspection import ModelRecord
from keras_nmt.layers.stack import TokenModel, target_context
from keras_nmt.layers.sublayers.attention import AttentionContext, Cache, KeysValues


@keras.saving.register_keras_serializable(package="nmt")
class LanguageModel(TokenModel):
    """A model that predicts each token of a text from the tokens before it.

    Example::

        model = LanguageModel(TransformerConfig(vocabulary_size=8000, encoder_layers=0))
        logits = model({"target": target})  # int32 [B, T], BOS in front -> [B, T, 8000]

    Raises:
        ValueError: The configuration has encoder layers.
    """

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        if self.config.encoder_layers:
            raise ValueError(
                f"encoder_layers is {self.config.encoder_layers}; use 0, or Transformer for a model with an encoder"
            )
        self.decoder = Decoder(self.config, name="decoder", dtype=self.dtype_policy)
        self.build()

    def states(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """Returns the decoder's output [B, T, D], before the projection to logits.

        Args:
            inputs: "target", int32 [B, T]: the labels shifted right, with BOS in front. If several texts share a row,
                also "target_segments" [B, T]: 1, 2, … at the tokens of the first, second, … text of the row, 0 at
                padding. Each text gets the same logits as in a row of its own. Other entries are ignored.
            training: True if dropout is active.
        """
        context = target_context(inputs)
        x = self.embed(inputs["target"], positions=context.positions, training=training)
        return self.decoder(x, contexts=[context] * self.config.decoder_layers, training=training)

    def decode(self, target: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the logits [B, T, V] that `call` returns without dropout, for target ids int32 [B, T]."""
        return self.call({"target": target}, training=False)

    def record(self, target: keras.KerasTensor) -> ModelRecord:
        """Returns all tensors of a forward pass without dropout for target ids int32 [B, T]."""
        context = target_context({"target": target})
        x = self.embed(target, training=False)
        decoder = inspection.record_decoder(self.decoder, x, [context] * self.config.decoder_layers)
        states = self.decoder.finish(decoder[-1].sublayers[-1].after)
        return ModelRecord((), (), decoder, self.embedding.logits(states))

    def empty_cache(self, rows: int, length: int) -> list[KeysValues]:
        """Returns keys and values for each decoder layer that are all zero: [rows, H, length, D/H]."""
        return self.decoder.zero_keys_values(rows, length)

    def decode_step(
        self,
        tokens: keras.KerasTensor,
        positions: keras.KerasTensor,
        caches: Sequence[Cache],
        may_attend: keras.KerasTensor,
    ) -> keras.KerasTensor:
        """Scores the token that follows each new token. `caches` hold the keys and values of the earlier tokens.

        Args:
            tokens: The new tokens, int32 [B, T].
            positions: Position of each new token in its text, int32 [T] or [B, T].
            caches: One cache for each decoder layer. `append` of the cache returns S keys and values, including the
                keys and values of the new tokens.
            may_attend: Mask that is True where a new token may attend to one of the S keys: bool, broadcast to
                [B, H, T, S].

        Returns:
            Logits [B, T, V]. The logits at index t score the token after new token t.
        """
        x = self.embed(tokens, positions=positions, training=False)
        contexts = [AttentionContext(may_attend, positions, cache) for cache in caches]
        return self.embedding.logits(self.decoder(x, contexts=contexts, training=False))
