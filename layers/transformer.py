"""The whole model: embeddings, encoder, decoder and the tied projection. Vaswani et al. 2017, Figure 1.

For training with any Keras loss, `call` returns logits. `outputs` returns the decoder's output before the projection to
logits, so that a loss can project only the real tokens. If the model copies (`copying`), all logits are
log-probabilities in float32. Their softmax is the distribution, as for other logits.

For decoding, first call `encode` and `cross_cache` once for the sources. If the whole targets are known, then call
`decode` or `cross_weights`. To decode token by token, call `decode_step` for each new token, with caches that start
from `empty_cache`.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from keras_nmt.layers import inspection
from keras_nmt.layers.config import TransformerConfig
from keras_nmt.layers.decoder import Decoder
from keras_nmt.layers.encoder import Encoder
from keras_nmt.layers.inspection import ModelRecord
from keras_nmt.layers.masks import causal_mask, padding_mask
from keras_nmt.layers.stack import Outputs, TokenModel, source_and_target_contexts
from keras_nmt.layers.sublayers.attention import AttentionContext, Cache, KeysValues, SourceContext
from keras_nmt.layers.sublayers.copying import CopyAttention, CopyMemory, with_copies
from keras_nmt.layers.sublayers.word_pointer import WordMemory, WordPointer


@keras.saving.register_keras_serializable(package="nmt")
class Transformer(TokenModel):
    """An encoder and a decoder with one shared vocabulary.

    Example::

        transformer = Transformer(TransformerConfig(vocabulary_size=8000))
        logits = transformer({"source": source, "target": target})  # int32 [B, S] and [B, T] -> [B, T, 8000]
    """

    def __init__(self, config: TransformerConfig | dict[str, Any], **kwargs: Any) -> None:
        super().__init__(config, **kwargs)
        if not self.config.encoder_layers:
            raise ValueError("encoder_layers is 0; use at least 1, or LanguageModel for a model without an encoder")
        dtype, words = self.dtype_policy, (self.config.word_token, self.config.word_tags)
        self.encoder = Encoder(self.config, name="encoder", dtype=dtype)
        self.decoder = Decoder(self.config, name="decoder", dtype=dtype)
        self.word_pointer = WordPointer(*words, name="word_pointer", dtype=dtype) if words[0] else None
        head_width = self.config.model_width // self.config.heads
        copying = self.config.copying
        self.copy_attention = CopyAttention(head_width, name="copy_attention", dtype=dtype) if copying else None
        self.build()

    @property
    def word_token(self) -> int:
        """The id of a word in source and target; 0 if the decoder is not told the next word."""
        return self.config.word_token

    def is_word(self, ids: keras.KerasTensor) -> keras.KerasTensor:
        """Returns which ids stand for a word, with or without a tag: bool, in the shape of `ids`; see `WordPointer`."""
        if not self.word_pointer:
            raise ValueError("the model has no word_token, so no id stands for a word")
        return self.word_pointer.is_word(ids)

    @property
    def copying(self) -> bool:
        """True if the decoder can copy tokens of the source."""
        return self.config.copying

    def call(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """Returns logits [B, T, V]; see `TokenModel.call`. If the model copies, they are log-probabilities, float32."""
        states, copies = self.outputs(inputs, training=training)
        logits = self.embedding.logits(states)
        return with_copies(logits, copies) if copies else logits

    def states(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> keras.KerasTensor:
        """Returns the decoder's output [B, T, D], before the projection to logits; see `outputs`."""
        return self.outputs(inputs, training=training).states

    def outputs(self, inputs: Mapping[str, keras.KerasTensor], training: bool | None = None) -> Outputs:
        """Returns the decoder's output [B, T, D], before the projection to logits, and what may be copied.

        Args:
            inputs: "source", int32 [B, S], and "target", int32 [B, T]: the labels shifted right, with BOS in front.
                If several pairs share a row, also "source_segments" [B, S] and "target_segments" [B, T]: 1, 2, … at
                the tokens of the first, second, … pair of the row, 0 at padding. Each pair gets the same logits as in
                a row of its own.
            training: True if dropout is active.
        """
        of_source, of_target, may_attend_source = source_and_target_contexts(inputs)
        x = self.embed(inputs["source"], positions=of_source.positions, training=training)
        memory = self.encoder(x, context=of_source, training=training)
        x = self.embed(inputs["target"], positions=of_target.positions, training=training)
        if self.word_pointer:
            words = self.word_pointer.memory(inputs["source"], memory, inputs.get("source_segments"))
            words_read = self.word_pointer.words_read(inputs["target"], inputs.get("target_segments"))
            x = self._told(x, words_read, words, may_attend_source)
        sources = _source_contexts(self.cross_cache(memory), may_attend_source)
        states = self.decoder(x, contexts=[of_target] * len(sources), sources=sources, training=training)
        if not self.copy_attention:
            return Outputs(states, ())
        of_copies = self.copy_attention.memory(inputs["source"], memory)
        copies = self.copy_attention(states, inputs["target"], memory=of_copies, may_attend=may_attend_source)
        return Outputs(states, copies)

    def encode(
        self, source: keras.KerasTensor, training: bool | None = None
    ) -> tuple[keras.KerasTensor, keras.KerasTensor]:
        """Encodes source ids [B, S].

        Returns:
            The encoder's output (`memory`) [B, S, D], and a mask that is True at the real tokens of the source, bool
            [B, 1, 1, S].
        """
        may_attend = padding_mask(source)
        x = self.embed(source, training=training)
        return self.encoder(x, context=AttentionContext(may_attend), training=training), may_attend

    def cross_cache(self, memory: keras.KerasTensor) -> list[KeysValues]:
        """Projects the encoder's output [B, S, D] to the keys and values of each decoder layer."""
        return self.decoder.keys_values(memory)

    def word_memory(self, source: keras.KerasTensor, memory: keras.KerasTensor) -> WordMemory:
        """Returns what the decoder of a model with `word_token` is told about each word of the source ids [B, S].

        Raises:
            ValueError: The model has no `word_token`.
        """
        if not self.word_pointer:
            raise ValueError("the model has no word_token, so its decoder is told no words")
        return self.word_pointer.memory(source, memory)

    def copy_memory(self, source: keras.KerasTensor, memory: keras.KerasTensor) -> CopyMemory:
        """Returns the source as the copy attention of a model with `copying` reads it; see `word_memory`.

        Raises:
            ValueError: The model does not copy.
        """
        if not self.copy_attention:
            raise ValueError("the model does not copy, so it has no copy attention")
        return self.copy_attention.memory(source, memory)

    def decode(
        self,
        target: keras.KerasTensor,
        *,
        cross: Sequence[KeysValues],
        may_attend_source: keras.KerasTensor,
        words: WordMemory | None = None,
        copies: CopyMemory | None = None,
    ) -> keras.KerasTensor:
        """Returns the same logits [B, T, V] as `call` without dropout, for sources that are already encoded.

        Args:
            target: Target ids, int32 [B, T]: the labels shifted right, with BOS in front.
            cross: The keys and values that `cross_cache` returned.
            may_attend_source: The mask that `encode` returned.
            words: The result of `word_memory`, for a model with `word_token`.
            copies: The result of `copy_memory`, for a model with `copying`.
        """
        x, contexts, sources = self._embedded_target(target, cross, may_attend_source, words)
        states = self.decoder(x, contexts=contexts, sources=sources, training=False)
        return self._scores(states, target, copies, may_attend_source)

    def empty_cache(self, sentences: int, length: int) -> list[KeysValues]:
        """Returns keys and values for each decoder layer that are all zero: [sentences, H, length, D/H]."""
        return self.decoder.zero_keys_values(sentences, length)

    def decode_step(
        self,
        tokens: keras.KerasTensor,
        positions: keras.KerasTensor,
        caches: Sequence[Cache],
        may_attend: keras.KerasTensor,
        words_read: keras.KerasTensor | None = None,
        *,
        cross: Sequence[KeysValues],
        may_attend_source: keras.KerasTensor,
        words: WordMemory | None = None,
        copies: CopyMemory | None = None,
    ) -> keras.KerasTensor:
        """Scores the token that follows each new token. `caches` hold the keys and values of the earlier tokens.

        The T new tokens of a row may be consecutive tokens, or the last tokens of several hypotheses for one sentence.
        `positions` and `may_attend` say which of the two is the case.

        Args:
            tokens: The new tokens, int32 [B, T].
            positions: Position of each new token in its hypothesis, int32 [T].
            caches: One cache for each decoder layer. Its method `append` returns the keys and values of S tokens,
                including the new tokens.
            may_attend: Mask that is True where a new token may attend to one of the S keys: bool, broadcast to
                [B, H, T, S].
            words_read: For a model with `word_token`, the number of words in the hypothesis up to each new token, the
                new token included: int32 [B, T].
            cross: The keys and values that `cross_cache` returned.
            may_attend_source: The mask that `encode` returned.
            words: The result of `word_memory`, for a model with `word_token`.
            copies: The result of `copy_memory`, for a model with `copying`.

        Returns:
            Logits [B, T, V]. The logits at index t score the token after new token t.
        """
        x = self._told(self.embed(tokens, positions=positions, training=False), words_read, words, may_attend_source)
        contexts = [AttentionContext(may_attend, positions, cache) for cache in caches]
        sources = _source_contexts(cross, may_attend_source)
        states = self.decoder(x, contexts=contexts, sources=sources, training=False)
        return self._scores(states, tokens, copies, may_attend_source)

    def cross_weights(
        self,
        target: keras.KerasTensor,
        *,
        cross: Sequence[KeysValues],
        may_attend_source: keras.KerasTensor,
        words: WordMemory | None = None,
        copies: CopyMemory | None = None,
        layer: int | None = None,
    ) -> keras.KerasTensor:
        """Returns the cross-attention weights of one decoder layer: float32 [B, H, T, S].

        Row t holds the weights with which the model predicts the token after target t. The default layer is the second
        to last, where attention is strongest at the word being translated (Garg et al. 2019). In a decoder of one or
        two layers it is the last: in the model of `nmt demo`, the last of two is right for 72 % of the tokens that both
        sides have, and the first for 66 %.

        Args:
            target: Target ids, int32 [B, T].
            cross: The keys and values that `cross_cache` returned.
            may_attend_source: The mask that `encode` returned.
            words: The result of `word_memory`, for a model with `word_token`.
            copies: Not used; the argument exists so that all methods take the same encoded sources.
            layer: Index of the layer as in a Python list: 0 is the first layer, -1 the last. None for the default.
        """
        x, contexts, sources = self._embedded_target(target, cross, may_attend_source, words)
        if layer is None:
            layer = -2 if self.config.decoder_layers > 2 else -1
        return inspection.cross_attention_of_layer(self.decoder, x, contexts[0], sources, layer)

    def record(self, source: keras.KerasTensor, target: keras.KerasTensor) -> ModelRecord:
        """Returns all tensors of a forward pass without dropout. `source` [B, S] and `target` [B, T] are as in `call`.

        The logits of the record are those of `decode`.
        """
        may_attend = padding_mask(source)
        x = self.embed(source, training=False)
        encoder = inspection.record_encoder(self.encoder, x, AttentionContext(may_attend))
        memory = self.encoder.finish(encoder[-1].sublayers[-1].after)
        words = self.word_memory(source, memory) if self.word_pointer else None
        copies = self.copy_memory(source, memory) if self.copy_attention else None
        x, contexts, sources = self._embedded_target(target, self.cross_cache(memory), may_attend, words)
        decoder = inspection.record_decoder(self.decoder, x, contexts, sources)
        states = self.decoder.finish(decoder[-1].sublayers[-1].after)
        return ModelRecord(encoder, memory, decoder, self._scores(states, target, copies, may_attend))

    def _embedded_target(
        self,
        target: keras.KerasTensor,
        cross: Sequence[KeysValues],
        may_attend_source: keras.KerasTensor,
        words: WordMemory | None,
    ) -> tuple[keras.KerasTensor, list[AttentionContext], list[SourceContext]]:
        """Returns the decoder's input [B, T, D], and each layer's contexts of self-attention and cross-attention."""
        context = AttentionContext(causal_mask(keras.ops.shape(target)[1]))
        sources = _source_contexts(cross, may_attend_source)
        words_read = self.word_pointer.words_read(target) if self.word_pointer else None
        x = self._told(self.embed(target, training=False), words_read, words, may_attend_source)
        return x, [context] * len(sources), sources

    def _scores(
        self,
        states: keras.KerasTensor,
        tokens: keras.KerasTensor,
        copies: CopyMemory | None,
        may_attend_source: keras.KerasTensor,
    ) -> keras.KerasTensor:
        """Returns logits [B, T, V] for the decoder's output [B, T, D]; log-probabilities if the model copies.

        `tokens`, int32 [B, T], are the decoder's input.
        """
        logits = self.embedding.logits(states)
        if not self.copy_attention:
            return logits
        if copies is None:
            raise ValueError("the model copies, so its decoder needs `copies`")
        return with_copies(logits, self.copy_attention(states, tokens, memory=copies, may_attend=may_attend_source))

    def _told(
        self,
        x: keras.KerasTensor,
        words_read: keras.KerasTensor | None,
        words: WordMemory | None,
        may_attend_source: keras.KerasTensor,
    ) -> keras.KerasTensor:
        """Adds what the decoder is told about the next word to embedded target tokens [B, T, D]."""
        if not self.word_pointer:
            return x
        if words_read is None or words is None:
            raise ValueError("the model has a word_token, so its decoder needs `words`, and each step `words_read`")
        return x + self.word_pointer(words_read, words=words, may_tell=may_attend_source)


def _source_contexts(cross: Sequence[KeysValues], may_attend: keras.KerasTensor) -> list[SourceContext]:
    return [SourceContext(keys_values, may_attend) for keys_values in cross]
