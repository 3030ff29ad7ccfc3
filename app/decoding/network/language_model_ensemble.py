"""Several language models with the same vocabulary that predict together by averaging their probabilities."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_nmt.app.decoding.network.block import CausalNetwork
from keras_nmt.app.decoding.network.ensemble import mean_logits
from keras_nmt.layers.sublayers.attention import Cache, KeysValues


class LanguageModelEnsemble:
    """A `CausalNetwork` of several members. Its layers are those of all members, one member after another.

    The logits are the logarithm of the members' mean probability, float32; see `mean_logits`.

    Args:
        models: At least one `layers.LanguageModel`. The shapes of their layers may differ.
    """

    def __init__(self, models: Sequence[CausalNetwork]) -> None:
        self.models = list(models)
        self.layers = [len(model.empty_cache(1, 1)) for model in self.models]

    @property
    def weights(self) -> list[keras.Variable]:
        """The weights of all members."""
        return [weight for model in self.models for weight in model.weights]

    def count_params(self) -> int:
        """Returns the number of values in the weights of all members."""
        return sum(model.count_params() for model in self.models)

    def decode(self, target: tf.Tensor) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each of the ids [B, T]."""
        return mean_logits([model.decode(target) for model in self.models])

    def empty_cache(self, rows: int | tf.Tensor, length: int | tf.Tensor) -> list[KeysValues]:
        """Returns zeros [rows, H, length, D/H] for the keys and values of each layer of each member."""
        return [own for model in self.models for own in model.empty_cache(rows, length)]

    def decode_step(
        self, tokens: tf.Tensor, positions: tf.Tensor, caches: Sequence[Cache], may_attend: tf.Tensor
    ) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each new token [B, T]."""
        remaining, logits = list(caches), []
        for model, layers in zip(self.models, self.layers, strict=True):
            own, remaining = remaining[:layers], remaining[layers:]
            logits.append(model.decode_step(tokens, positions, own, may_attend))
        return mean_logits(logits)
