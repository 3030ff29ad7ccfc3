"""Several transformers of one vocabulary that translate together: the mean of their probabilities decides."""

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf


class Ensemble:
    """Has the decoding methods of a transformer; what they hand on are lists, of one entry for each of its members.

    Its logits are the logarithm of the mean probability, float32, so softmax gives the mean back.

    Args:
        transformers: at least one `layers.transformer.Transformer`; the shapes of their layers may differ.
    """

    def __init__(self, transformers: Sequence[Any]) -> None:
        self.transformers = list(transformers)

    @property
    def weights(self) -> list[Any]:
        """Those of all members."""
        return [weight for transformer in self.transformers for weight in transformer.weights]

    def count_params(self) -> int:
        """How many numbers the weights of all members are."""
        return sum(transformer.count_params() for transformer in self.transformers)

    def encode(self, source: tf.Tensor) -> tuple[list[tf.Tensor], tf.Tensor]:
        """ids [B, S] -> the encoders' outputs and the mask that they share."""
        memories, masks = zip(*self._each(lambda one: one.encode(source)), strict=True)
        return list(memories), masks[0]

    def cross_cache(self, memory: Sequence[tf.Tensor]) -> list[Any]:
        """What decoding needs of the encoders' outputs."""
        return self._each(lambda one, its_memory: one.cross_cache(its_memory), memory)

    def decode(self, target: tf.Tensor, *, cross: Sequence[Any], may_attend_source: tf.Tensor) -> tf.Tensor:
        """As a transformer's: ids [B, T] -> logits [B, T, V]."""

        def decode(one: Any, its_cross: Any) -> tf.Tensor:
            return one.decode(target, cross=its_cross, may_attend_source=may_attend_source)

        return mean_logits(self._each(decode, cross))

    def cross_weights(self, target: tf.Tensor, *, cross: Sequence[Any], may_attend_source: tf.Tensor) -> tf.Tensor:
        """The mean over heads and members of how much each target position attends to each source position.

        float32 [B, 1, T, S].
        """

        def of_one(one: Any, its_cross: Any) -> tf.Tensor:
            weights = one.cross_weights(target, cross=its_cross, may_attend_source=may_attend_source)
            return tf.reduce_mean(weights, axis=1, keepdims=True)

        of_each = self._each(of_one, cross)
        return tf.add_n(of_each) / len(of_each)

    def attention_maps(self, source: tf.Tensor, target: tf.Tensor) -> Any:
        """Those of its first member; what the others look at may have another shape."""
        return self.transformers[0].attention_maps(source, target)

    def positional_encodings(self, length: int | tf.Tensor) -> tf.Tensor:
        """Those of its first member."""
        return self.transformers[0].positional_encodings(length)

    def empty_cache(self, sentences: int | tf.Tensor, length: int | tf.Tensor) -> list[Any]:
        """A place for the keys and values of `length` tokens of each sentence."""
        return self._each(lambda one: one.empty_cache(sentences, length))

    def decode_step(
        self,
        tokens: tf.Tensor,
        positions: tf.Tensor,
        caches: Sequence[Any],
        may_attend: tf.Tensor,
        *,
        cross: Sequence[Any],
        may_attend_source: tf.Tensor,
    ) -> tf.Tensor:
        """As a transformer's: tokens [B, T] -> logits [B, T, V]."""

        def step(one: Any, its_caches: Any, its_cross: Any) -> tf.Tensor:
            encoded = {"cross": its_cross, "may_attend_source": may_attend_source}
            return one.decode_step(tokens, positions, its_caches, may_attend, **encoded)

        return mean_logits(self._each(step, caches, cross))

    def _each(self, of: Callable[..., Any], *values: Sequence[Any]) -> list[Any]:
        return [of(transformer, *own) for transformer, *own in zip(self.transformers, *values, strict=True)]


def mean_logits(logits: Sequence[tf.Tensor]) -> tf.Tensor:
    """The logarithm of the mean of the softmax of each, float32 in their shape [..., V]."""
    of_each = tf.stack([tf.nn.log_softmax(tf.cast(one, tf.float32)) for one in logits])
    return tf.reduce_logsumexp(of_each, axis=0) - tf.math.log(float(len(logits)))
