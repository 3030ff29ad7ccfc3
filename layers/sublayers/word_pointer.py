"""Tells the decoder the encoder's output at the next word that the target has not read yet.

In some tasks, such as parsing, source and target contain the same words in the same order, and the id `word_token`
stands for each: before the pieces of each word in the source, and as the action that reads the word in the target. The
`word_tags` ids after it also read a word, and give it a tag. So the alignment of source and target is known (Ma et al.
2017; Liu, Zhu and Shi 2018), and attention need not learn it.

What is told is the mean over the tokens of the word. At the id `word_token` alone, which is the same for every word,
the encoder would first have to learn to look at the tokens that follow.
"""

from typing import Any, NamedTuple

import keras

from keras_nmt.layers.masks import causal_mask, segment_mask


class WordMemory(NamedTuple):
    """The source as the pointer reads it."""

    values: keras.KerasTensor  # [B, S, D], the projected encoder output at each source position
    numbers: keras.KerasTensor  # int32 [B, S], the number of the word at each position, from 0; -1 before all words


@keras.saving.register_keras_serializable(package="nmt")
class WordPointer(keras.layers.Layer):
    """Projects the mean of the encoder's output over the next unread word. The result is 0 if all words are read.

    With the source "W we W will W go" and the target "( W ( W W ) )", where W is `word_token`, the target positions are
    told the words we, will, will, go, 0, 0 and 0. A word is the id `word_token` and the tokens up to the next one; the
    last word includes EOS. The projection has no bias.
    """

    def __init__(self, word_token: int, word_tags: int = 0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.word_token, self.word_tags = word_token, word_tags

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the projection for an encoder output [B, S, D]."""
        width = input_shape[-1]
        self.projection = keras.layers.Dense(width, use_bias=False, name="projection", dtype=self.dtype_policy)
        self.projection.build((None, width))

    def memory(
        self, source: keras.KerasTensor, memory: keras.KerasTensor, segments: keras.KerasTensor | None = None
    ) -> WordMemory:
        """Prepares the source ids [B, S] and the encoder's output [B, S, D] for `call`.

        `segments`, int32 [B, S], separates pairs that share a row; the words of each pair are counted on their own.
        """
        numbers = self.words_read(source, segments) - 1
        rows = self.projection(keras.ops.reshape(memory, (-1, memory.shape[-1])))
        return WordMemory(keras.ops.reshape(rows, keras.ops.shape(memory)), numbers)

    def is_word(self, ids: keras.KerasTensor) -> keras.KerasTensor:
        """Returns which ids stand for a word, with or without a tag: bool, in the shape of `ids`."""
        return keras.ops.logical_and(
            keras.ops.greater_equal(ids, self.word_token),
            keras.ops.less_equal(ids, self.word_token + self.word_tags),
        )

    def words_read(self, ids: keras.KerasTensor, segments: keras.KerasTensor | None = None) -> keras.KerasTensor:
        """Counts the words up to each position, this position included: int32 [B, T] from ids [B, T].

        `segments`, int32 [B, T], separates pairs that share a row; the words of each pair are counted on their own.
        """
        # float32 is exact for these numbers, and TensorFlow has no integer `cumsum` for GPUs.
        is_word = keras.ops.cast(self.is_word(ids), "float32")
        if segments is None:
            return keras.ops.cast(keras.ops.cumsum(is_word, axis=1), "int32")
        own = keras.ops.logical_and(segment_mask(segments, segments), causal_mask(keras.ops.shape(ids)[1]))[:, 0]
        counts = keras.ops.sum(keras.ops.cast(own, "float32") * is_word[:, None, :], axis=2)
        return keras.ops.cast(counts, "int32")

    def call(self, words_read: keras.KerasTensor, words: WordMemory, may_tell: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the projected mean of the next unread word for each target position: [B, T, D].

        Args:
            words_read: int32 [B, T], the number of words that each target position has read.
            words: The result of `memory`.
            may_tell: Mask that is True where a target position may be told a source position: bool, broadcast to
                [B, 1, T, S].
        """
        is_next = keras.ops.equal(words_read[:, :, None], words.numbers[:, None, :])  # [B, T, S]
        weights = keras.ops.cast(keras.ops.logical_and(is_next, may_tell[:, 0]), self.compute_dtype)
        counts = keras.ops.maximum(keras.ops.sum(weights, axis=2, keepdims=True), 1)
        return keras.ops.matmul(weights / counts, words.values)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "word_token": self.word_token, "word_tags": self.word_tags}
