"""The settings of generation, which each call can override."""

from collections.abc import Mapping
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.search.penalties import Repetition
from keras_nmt.app.decoding.search.sampling import Sampling


class GenerationSettings(NamedTuple):
    """The settings of generation that each call can override."""

    temperature: tf.Tensor  # float32 []; 0 always takes the most probable token
    top_k: tf.Tensor  # int32 []; see `Sampling`
    top_p: tf.Tensor  # float32 []; see `Sampling`
    max_tokens: tf.Tensor  # int32 [], the largest number of tokens of a continuation, EOS included
    no_repeat_ngram_size: tf.Tensor  # int32 []; this and the next one apply to the continuation, see `Repetition`
    repetition_penalty: tf.Tensor  # float32 []

    @classmethod
    def of(cls, options: DecodingOptions) -> "GenerationSettings":
        """Returns the default settings. `max_tokens` is that of the options, or `max_extra_tokens` if that is 0."""
        sampling = Sampling()
        return cls(
            tf.constant(sampling.temperature, tf.float32),
            tf.constant(sampling.top_k, tf.int32),
            tf.constant(sampling.top_p, tf.float32),
            tf.constant(options.max_tokens or options.max_extra_tokens, tf.int32),
            tf.constant(options.no_repeat_ngram_size, tf.int32),
            tf.constant(options.repetition_penalty, tf.float32),
        )

    def changed(self, values: Mapping[str, float | tf.Tensor]) -> "GenerationSettings":
        """Returns the settings with some of their values replaced."""
        return self._replace(
            **{name: tf.convert_to_tensor(value, getattr(self, name).dtype) for name, value in values.items()}
        )

    @property
    def sampling(self) -> Sampling:
        """The distribution that the next token is drawn from."""
        greedy = tf.equal(self.temperature, 0.0)
        return Sampling(tf.where(greedy, 1.0, self.temperature), tf.where(greedy, 1, self.top_k), self.top_p)

    @property
    def repetition(self) -> Repetition:
        """The rules against repetition."""
        return Repetition(self.no_repeat_ngram_size, self.repetition_penalty)
