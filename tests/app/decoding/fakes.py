"""A vocabulary of a few sentences and a transformer that copies its source, for tests of what surrounds a model."""

from typing import Any, NamedTuple

import tensorflow as tf

from pipelines.vocabulary import BOS, EOS, Vocabulary, train_vocabulary

SENTENCES = [
    "The cat sat on the mat.",
    "A dog barks at night, doesn't it?",
    "Die Katze saß auf der Matte!",
    "Übung macht den Meister.",
    "one two three four five six seven eight nine ten",
]


def small_vocabulary() -> Vocabulary:
    return train_vocabulary(SENTENCES * 20, size=304)


class FakeCache(NamedTuple):
    tokens: tf.Tensor  # int32 [B * K, length], every token so far


class CopyingTransformer(tf.Module):
    """Finds its source again, word for word; one token more or less is less probable.

    It trusts nothing but its cache: how far it has come is the number of tokens there.
    """

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary = vocabulary
        self.sharpness = tf.Variable(9.0)  # something for a SavedModel to keep

    def __call__(self, inputs: Any, training: bool) -> tf.Tensor:
        assert not training
        longer = tf.maximum(0, tf.shape(inputs["target"])[1] - tf.shape(inputs["source"])[1])
        wanted = tf.pad(inputs["source"], [[0, 0], [0, longer]], constant_values=EOS)[
            :, : tf.shape(inputs["target"])[1]
        ]
        return self.logits(wanted)

    def logits(self, wanted: tf.Tensor) -> tf.Tensor:
        return self.sharpness * tf.one_hot(wanted, self.vocabulary) + tf.one_hot(EOS, self.vocabulary)

    def cross_weights(self, inputs: Any) -> tf.Tensor:
        positions = tf.range(tf.shape(inputs["target"])[1])
        one = tf.one_hot(positions, tf.shape(inputs["source"])[1])  # each target token looks at the same place
        return tf.repeat(one[tf.newaxis, tf.newaxis], tf.shape(inputs["target"])[0], axis=0)

    def encode(self, source: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.cast(source, tf.float32)[:, :, tf.newaxis], source != 0

    def cross_cache(self, memory: tf.Tensor) -> list[tf.Tensor]:
        return [tf.cast(memory[:, :, 0], tf.int32)]

    def empty_cache(self, rows: Any, length: Any) -> list[FakeCache]:
        return [FakeCache(tf.zeros([rows, length], tf.int32))]

    def decode_step(
        self, tokens: tf.Tensor, position: tf.Tensor, cache: Any, cross: Any, may_attend: tf.Tensor
    ) -> tuple[tf.Tensor, Any]:
        is_new = tf.range(tf.shape(cache[0].tokens)[1]) == position
        history = tf.where(is_new, tokens, cache[0].tokens)
        read = tf.reduce_sum(tf.cast(history != 0, tf.int32), axis=1)  # BOS included
        beams = tf.shape(tokens)[0] // tf.shape(cross[0])[0]
        source = tf.repeat(tf.pad(cross[0], [[0, 0], [0, 1]]), beams, axis=0)  # [B * K, S + 1]
        place = tf.minimum(read - 1, tf.shape(source)[1] - 1)
        wanted = tf.gather(source, place, batch_dims=1)
        wanted = tf.where((history[:, 0] == BOS) & (wanted != 0), wanted, EOS)
        return self.logits(wanted)[:, tf.newaxis], [FakeCache(history)]
