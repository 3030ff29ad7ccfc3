"""Shallow fusion: a language model of the target language helps to translate (Gulcehre et al. 2015, section 4.1).

The score of a next token is log p_translation + weight * log p_language_model, both given the target tokens so far.
These scores are not normalised: a prefix that the language model finds improbable stays improbable. A search computes
the softmax of a network's logits. So the logits here contain the scores, and PAD, which no search chooses, gets the
probability that is missing to 1. The softmax of these logits is exactly the exponential of the scores.

A language model learns from documents that are joined, with EOS after each (`pipelines.preparation.running_text`), and
cut into blocks, each behind BOS. So the text after BOS is mostly the middle of a document, and a document begins after
EOS. Here the language model reads BOS, EOS, and the target tokens.
"""

import math
from collections.abc import Sequence
from typing import Unpack

import keras
import tensorflow as tf

from keras_nmt.app.decoding.network.block import CausalNetwork, PromptCache
from keras_nmt.app.decoding.network.protocol import Encoded, Network
from keras_nmt.app.decoding.search.hypotheses import TensorNest
from keras_nmt.layers.inspection import ModelRecord
from keras_nmt.layers.sublayers.attention import Cache, KeysValues
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD

LARGEST_SUM = 1 - 1e-7  # below 1 in float32, so that the logarithm of the rest is finite


class BehindBos:
    """A `layers.sublayers.attention.Cache` of one layer of a language model, with BOS before what `cache` contains.

    Args:
        cache: The cache of the other tokens.
        bos: The keys and values of BOS, [B, H, 1, D/H].
    """

    def __init__(self, cache: Cache, bos: KeysValues) -> None:
        self.cache = cache
        self.bos = bos

    def append(self, new: KeysValues) -> KeysValues:
        """Adds the keys and values of new tokens; returns those of BOS and of all tokens."""
        read = self.cache.append(new)
        return KeysValues(*(tf.concat(both, axis=2) for both in zip(self.bos, read, strict=True)))


class ShallowFusion:
    """A `Network` of a translation model and a language model with the same vocabulary.

    The cross-attention input is that of the translation model, and the keys and values of BOS in the language model.
    The cache is that of the translation model, and that of the language model. Attention weights are those of the
    translation model.

    Args:
        translation: A `layers.transformer.Transformer` or an ensemble.
        language_model: A `layers.LanguageModel`.
        weight: The factor of the language model's log-probabilities; 0 or more.

    Raises:
        ValueError: The weight is negative or not a number.
    """

    def __init__(self, translation: Network, language_model: CausalNetwork, weight: float) -> None:
        if not 0 <= weight < float("inf"):
            raise ValueError(f"the weight of a language model is {weight}; it must be at least 0")
        self.translation = translation
        self.language_model = language_model
        self.weight = weight

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of both models."""
        return [*self.translation.weights, *self.language_model.weights]

    @property
    def word_token(self) -> int:
        """The `word_token` of the translation model."""
        return self.translation.word_token

    def is_word(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns which ids stand for a word of the translation model."""
        return self.translation.is_word(ids)

    @property
    def copying(self) -> bool:
        """True if the translation model copies."""
        return self.translation.copying

    def count_params(self) -> int:
        """Returns the number of values in the weights of both models."""
        return sum(math.prod(weight.shape) for weight in self.weights)

    def encode(self, source: tf.Tensor) -> tuple[TensorNest, tf.Tensor]:
        """Encodes ids [B, S] with the translation model."""
        return self.translation.encode(source)

    def cross_cache(self, memory: TensorNest) -> list[TensorNest]:
        """Returns the cross-attention input of the translation model, and the keys and values of BOS, each [B, …]."""
        sentences = tf.shape(tf.nest.flatten(memory)[0])[0]
        caches = [PromptCache() for _ in self.language_model.empty_cache(1, 1)]
        bos = tf.fill([sentences, 1], BOS)
        self.language_model.decode_step(bos, tf.constant([0]), caches, tf.ones([1, 1], tf.bool))
        return [self.translation.cross_cache(memory), [cache.written for cache in caches]]

    def word_memory(self, source: tf.Tensor, memory: TensorNest) -> TensorNest:
        """Returns what the translation model is told about each word."""
        return self.translation.word_memory(source, memory)

    def copy_memory(self, source: tf.Tensor, memory: TensorNest) -> TensorNest:
        """Returns what the translation model can copy from the source."""
        return self.translation.copy_memory(source, memory)

    def decode(self, target: tf.Tensor, **encoded: Unpack[Encoded]) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each of the ids [B, T], of which the first is BOS."""
        own, _ = _divided(encoded)
        read = tf.pad(_behind_end(target), [[0, 0], [1, 0]], constant_values=BOS)  # BOS, EOS, tokens
        return fused(self.translation.decode(target, **own), self.language_model.decode(read)[:, 1:], self.weight)

    def cross_weights(self, target: tf.Tensor, **encoded: Unpack[Encoded]) -> tf.Tensor:
        """Computes how much each target position attends to each source position: float32 [B, H, T, S]."""
        return self.translation.cross_weights(target, **_divided(encoded)[0])

    def record(self, source: tf.Tensor, target: tf.Tensor) -> ModelRecord:
        """Returns the record of the translation model."""
        return self.translation.record(source, target)

    def positional_encodings(self, length: int | tf.Tensor) -> tf.Tensor:
        """Returns the positional encodings of the translation model."""
        return self.translation.positional_encodings(length)

    def empty_cache(self, sentences: int | tf.Tensor, length: int | tf.Tensor) -> list[TensorNest]:
        """Returns zeros for the keys and values of `length` tokens of each sentence, for both models."""
        return [model.empty_cache(sentences, length) for model in (self.translation, self.language_model)]

    def decode_step(
        self,
        tokens: tf.Tensor,
        positions: tf.Tensor,
        caches: Sequence[TensorNest],
        may_attend: tf.Tensor,
        words_read: tf.Tensor | None = None,
        **encoded: Unpack[Encoded],
    ) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each new token [B, T]; see `Network.decode_step`."""
        own, bos = _divided(encoded)
        of_words = [] if words_read is None else [words_read]
        logits = self.translation.decode_step(tokens, positions, caches[0], may_attend, *of_words, **own)
        behind = [BehindBos(cache, its_bos) for cache, its_bos in zip(caches[1], bos, strict=True)]
        may_attend = tf.pad(may_attend, [[0, 0], [0, 0], [0, 0], [1, 0]], constant_values=True)  # to BOS too
        of_text = self.language_model.decode_step(_behind_end(tokens), 1 + positions, behind, may_attend)
        return fused(logits, of_text, self.weight)


def fused(logits: tf.Tensor, of_text: tf.Tensor, weight: float) -> tf.Tensor:
    """Combines the logits of a translation model and of a language model.

    Example: the probabilities [0, 0.6, 0.4] and [0, 0.5, 0.5] with weight 1 give the scores log 0.3 and log 0.2. PAD,
    the first token, gets log 0.5. So the softmax is [0.5, 0.3, 0.2].

    Args:
        logits: float [..., V], of the translation model.
        of_text: float [..., V], of the language model.
        weight: The factor of the language model's log-probabilities.

    Returns:
        float32 [..., V], the scores, and at PAD the logarithm of what their exponentials leave of 1.
    """
    of_each = [tf.nn.log_softmax(tf.cast(one, tf.float32)) for one in (logits, of_text)]
    scores = (of_each[0] + weight * of_each[1])[..., PAD + 1 :]
    missing = tf.math.log1p(-tf.minimum(tf.reduce_sum(tf.exp(scores), axis=-1, keepdims=True), LARGEST_SUM))
    return tf.concat([missing, scores], axis=-1)


def _behind_end(tokens: tf.Tensor) -> tf.Tensor:
    """Replaces BOS by EOS, the end of an earlier document, after which a language model expects a new one."""
    return tf.where(tokens == BOS, EOS, tokens)


def _divided(encoded: Encoded) -> tuple[Encoded, Sequence[KeysValues]]:
    """Returns the encoded sources of the translation model, and the keys and values of BOS in the language model."""
    cross, bos = encoded["cross"]
    own = encoded.copy()
    own["cross"] = cross
    return own, bos
