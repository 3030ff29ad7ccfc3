"""The interface of a neural network that decoding uses: some methods of `layers.transformer.Transformer`."""

from collections.abc import Sequence
from typing import NotRequired, Protocol, TypedDict, Unpack

import keras
import tensorflow as tf

from keras_nmt.app.decoding.search.hypotheses import TensorNest
from keras_nmt.layers.inspection import ModelRecord


class Encoded(TypedDict):
    """The encoded sources, as input of a decoder."""

    cross: TensorNest  # the result of `cross_cache`
    may_attend_source: tf.Tensor  # the mask that `encode` returned
    words: NotRequired[TensorNest]  # the result of `word_memory`; only for a network with `word_token`
    copies: NotRequired[TensorNest]  # the result of `copy_memory`; only for a network with `copying`


class Network(Protocol):
    """A transformer, or an ensemble of them."""

    @property
    def weights(self) -> Sequence[keras.Variable]:
        """All weights."""

    @property
    def word_token(self) -> int:
        """The id of a word in source and target, if the decoder is told the next unread word; else 0."""

    def is_word(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns which ids stand for a word, with or without a tag: bool, in the shape of `ids`."""

    @property
    def copying(self) -> bool:
        """True if the decoder can copy tokens of the source. Then all logits are log-probabilities, float32."""

    def count_params(self) -> int:
        """Returns the number of values in all weights."""

    def encode(self, source: tf.Tensor) -> tuple[TensorNest, tf.Tensor]:
        """Encodes ids [B, S]; returns the encoder's output, and the mask that is False at padding."""

    def cross_cache(self, memory: TensorNest) -> TensorNest:
        """Returns the cross-attention input of the decoder, computed from the encoder's output."""

    def word_memory(self, source: tf.Tensor, memory: TensorNest) -> TensorNest:
        """Returns what the decoder of a network with `word_token` is told about each word of the source ids [B, S]."""

    def copy_memory(self, source: tf.Tensor, memory: TensorNest) -> TensorNest:
        """Returns what the decoder of a network with `copying` can copy from the source ids [B, S]."""

    def decode(self, target: tf.Tensor, **encoded: Unpack[Encoded]) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each of the ids [B, T]."""

    def cross_weights(self, target: tf.Tensor, **encoded: Unpack[Encoded]) -> tf.Tensor:
        """Computes how much each target position attends to each source position: float32 [B, H, T, S].

        The weights are those of the second-to-last decoder layer, or of the only decoder layer.
        """

    def record(self, source: tf.Tensor, target: tf.Tensor) -> ModelRecord:
        """Computes the tensors of all layers for source ids [B, S] and target ids [B, T]."""

    def positional_encodings(self, length: int | tf.Tensor) -> tf.Tensor:
        """Returns the encodings that are added to the embeddings, one for each position: float32 [length, D]."""

    def empty_cache(self, sentences: int | tf.Tensor, length: int | tf.Tensor) -> TensorNest:
        """Returns zeros [sentences, H, length, D/H] for the keys and values of each decoder layer."""

    def decode_step(
        self,
        tokens: tf.Tensor,
        positions: tf.Tensor,
        caches: TensorNest,
        may_attend: tf.Tensor,
        words_read: tf.Tensor | None = None,
        **encoded: Unpack[Encoded],
    ) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each new token [B, T].

        `caches` contain the keys and values of earlier tokens. The keys and values of the new tokens are appended.
        A network with `word_token` needs `words_read`, int32 [B, T], the number of words up to each new token.
        """
