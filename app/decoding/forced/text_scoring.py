"""Scores whole texts by the probabilities of a language model, in a TensorFlow graph."""

from collections.abc import Callable

import tensorflow as tf

from keras_nmt.app.decoding.forced.scoring import token_log_probabilities
from keras_nmt.app.decoding.network.block import kept_tokens
from keras_nmt.pipelines.vocabulary.tokenizer import PAD


def text_log_probabilities(
    decode: Callable[[tf.Tensor], tf.Tensor], labels: tf.Tensor, *, context_tokens: int, vocabulary_size: int
) -> tf.Tensor:
    """Computes the log-probability of each token of texts, given the tokens before it that the model attends to.

    A text of more than C = `context_tokens` tokens is read in windows of C tokens. As in generation, each window begins
    with BOS and repeats the last tokens of the window before: with C = 6, tokens 0 … 5 of a text are predicted in the
    first window, and 6, 7 and 8 in the second one, which is BOS and the tokens 3 … 7.

    Args:
        decode: The model's function from ids, int32 [n, T], to the logits of the next tokens, [n, T, V].
        labels: int32 [N, T], the tokens of the texts, EOS included, then PAD.
        context_tokens: The largest number of tokens that the model attends to, BOS included.
        vocabulary_size: V, the number of tokens in the vocabulary.

    Returns:
        float32 [N, T], 0 at PAD.
    """
    rows, longest = tf.unstack(tf.shape(labels))
    kept = kept_tokens(context_tokens)
    stride = context_tokens - kept
    windows = 1 + -(-tf.maximum(0, longest - context_tokens) // stride)
    width = tf.minimum(longest, context_tokens)
    needed = (windows - 1) * stride + width
    padded = tf.pad(labels, [[0, 0], [0, tf.maximum(0, needed - longest)]], constant_values=PAD)
    places = tf.range(windows)[:, tf.newaxis] * stride + tf.range(width)  # [windows, width]
    cut = tf.reshape(tf.gather(padded, places, axis=1), [rows * windows, width])
    is_new = (tf.range(windows)[:, tf.newaxis] == 0) | (tf.range(width) >= kept)
    is_wanted = tf.tile(is_new, [rows, 1]) & (cut != PAD)
    has_wanted = tf.reduce_any(is_wanted, axis=1)
    cut, is_wanted = tf.boolean_mask(cut, has_wanted), tf.boolean_mask(is_wanted, has_wanted)
    no_source = tf.RaggedTensor.from_row_splits(
        tf.zeros([0], tf.int32), tf.zeros([1 + tf.shape(cut)[0]], tf.int64), validate=False
    )
    by_token = token_log_probabilities(
        lambda _, target: decode(target), no_source, cut, vocabulary_size=vocabulary_size
    )
    found = tf.boolean_mask(by_token, is_wanted)  # in the order of the texts and their tokens
    lengths = tf.math.count_nonzero(labels != PAD, axis=1)
    return tf.RaggedTensor.from_row_lengths(found, lengths, validate=False).to_tensor(0.0, shape=[None, None])
