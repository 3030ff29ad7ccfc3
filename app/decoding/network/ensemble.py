"""Several transformers with the same vocabulary that translate together by averaging their probabilities."""

from collections.abc import Callable, Sequence
from typing import Unpack

import keras
import tensorflow as tf

from keras_nmt.app.decoding.network.protocol import Encoded, Network
from keras_nmt.app.decoding.search.hypotheses import TensorNest
from keras_nmt.layers.inspection import ModelRecord


class Ensemble:
    """A `Network` of several members. Encoder outputs and caches are lists with one entry for each member.

    If a member has a `word_token`, all have the same one. If a member copies, all copy.

    The logits of the ensemble are the logarithm of the members' mean probability, float32. So the softmax of these
    logits is the mean probability.

    Args:
        transformers: At least one `layers.transformer.Transformer`. The shapes of their layers may differ.
    """

    def __init__(self, transformers: Sequence[Network]) -> None:
        self.transformers = list(transformers)

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of all members."""
        return [weight for transformer in self.transformers for weight in transformer.weights]

    @property
    def word_token(self) -> int:
        """The `word_token` of all members."""
        return self.transformers[0].word_token

    def is_word(self, ids: tf.Tensor) -> tf.Tensor:
        """Returns which ids stand for a word; the same for all members."""
        return self.transformers[0].is_word(ids)

    @property
    def copying(self) -> bool:
        """True if the members copy."""
        return self.transformers[0].copying

    def count_params(self) -> int:
        """Returns the number of values in the weights of all members."""
        return sum(transformer.count_params() for transformer in self.transformers)

    def encode(self, source: tf.Tensor) -> tuple[list[TensorNest], tf.Tensor]:
        """Encodes ids [B, S]; returns the output of each encoder, and the mask, which is the same for all members."""
        memories, masks = zip(*self._each(lambda member: member.encode(source)), strict=True)
        return list(memories), masks[0]

    def cross_cache(self, memory: Sequence[TensorNest]) -> list[TensorNest]:
        """Returns the cross-attention input of each decoder, computed from the output of its encoder."""
        return self._each(lambda member, own: member.cross_cache(own), memory)

    def word_memory(self, source: tf.Tensor, memory: Sequence[TensorNest]) -> list[TensorNest]:
        """Returns what each decoder is told about each word, from the output of its encoder."""
        return self._each(lambda member, own: member.word_memory(source, own), memory)

    def copy_memory(self, source: tf.Tensor, memory: Sequence[TensorNest]) -> list[TensorNest]:
        """Returns what each decoder can copy, from the output of its encoder."""
        return self._each(lambda member, own: member.copy_memory(source, own), memory)

    def decode(self, target: tf.Tensor, **encoded: Unpack[Encoded]) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each of the ids [B, T]."""
        return mean_logits(self._each(lambda member, own: member.decode(target, **own), _of_members(encoded)))

    def cross_weights(self, target: tf.Tensor, **encoded: Unpack[Encoded]) -> tf.Tensor:
        """Computes how much each target position attends to each source position: float32 [B, 1, T, S].

        The attention is averaged over heads and members.
        """

        def mean_over_heads(member: Network, its_encoded: Encoded) -> tf.Tensor:
            return tf.reduce_mean(member.cross_weights(target, **its_encoded), axis=1, keepdims=True)

        weights = self._each(mean_over_heads, _of_members(encoded))
        return tf.add_n(weights) / len(weights)

    def record(self, source: tf.Tensor, target: tf.Tensor) -> ModelRecord:
        """Returns the record of the first member. The tensors of other members may have other shapes."""
        return self.transformers[0].record(source, target)

    def positional_encodings(self, length: int | tf.Tensor) -> tf.Tensor:
        """Returns the positional encodings of the first member."""
        return self.transformers[0].positional_encodings(length)

    def empty_cache(self, sentences: int | tf.Tensor, length: int | tf.Tensor) -> list[TensorNest]:
        """Returns zeros for the keys and values of `length` tokens of each sentence, for each member."""
        return self._each(lambda member: member.empty_cache(sentences, length))

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

        def step(member: Network, own: TensorNest, its_encoded: Encoded) -> tf.Tensor:
            return member.decode_step(tokens, positions, own, may_attend, words_read, **its_encoded)

        return mean_logits(self._each(step, caches, _of_members(encoded)))

    def _each(self, function: Callable[..., TensorNest], *values: Sequence[TensorNest]) -> list[TensorNest]:
        """Calls a function with each member and the member's entry of each of `values`; returns all results."""
        return [function(member, *own) for member, *own in zip(self.transformers, *values, strict=True)]


def _of_members(encoded: Encoded) -> list[Encoded]:
    """Returns the encoded sources of each member."""
    of_each: list[Encoded] = [
        {"cross": cross, "may_attend_source": encoded["may_attend_source"]} for cross in encoded["cross"]
    ]
    for own, words in zip(of_each, encoded.get("words", ()), strict=False):
        own["words"] = words
    for own, copies in zip(of_each, encoded.get("copies", ()), strict=False):
        own["copies"] = copies
    return of_each


def mean_logits(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """Computes the logarithm of the mean of the members' softmax probabilities: float32 [..., V]."""
    of_each = tf.stack([tf.nn.log_softmax(tf.cast(one, tf.float32)) for one in logits])
    return tf.reduce_logsumexp(of_each, axis=0) - tf.math.log(float(len(logits)))
