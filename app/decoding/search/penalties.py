"""Rules that beam search, constrained search and sampling apply to a model's logits and scores.

They are rules against repetition, tokens that are never chosen, forced tokens, and the length penalty.
"""

from typing import NamedTuple

import tensorflow as tf

from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS, PAD

IMPOSSIBLE = float("-inf")
NEVER_CHOSEN = (PAD, BOS)


class RuledLogits(NamedTuple):
    """Logits of the next token after the rules against repetition; both fields are float32 [N, V]."""

    logits: tf.Tensor  # with the repetition penalty; probabilities are the softmax of these logits
    allowed: tf.Tensor  # the same logits, but -inf for tokens that would repeat an n-gram


class Repetition(NamedTuple):
    """Two rules against repetition. The default values turn both rules off.

    Attributes:
        no_repeat_ngram_size: The number of tokens in n-grams that may not occur twice in a hypothesis (Paulus et al.
            2017, section 2.5). 0 allows all repetitions. Forced tokens may always repeat an n-gram.
        repetition_penalty: The factor for the logits of tokens that the hypothesis already contains (Keskar et al.
            2019, section 4.1). Positive logits are divided by the factor, negative logits are multiplied by it. A
            factor above 1 makes these tokens less likely.
    """

    no_repeat_ngram_size: int | tf.Tensor = 0
    repetition_penalty: float | tf.Tensor = 1.0

    def apply(self, logits: tf.Tensor, history: tf.Tensor) -> RuledLogits:
        """Applies both rules to logits, float [N, V], given the tokens so far, int32 [N, L]."""
        logits = penalize_tokens(tf.cast(logits, tf.float32), history, self.repetition_penalty)
        return RuledLogits(logits, ban_repeated_ngrams(logits, history, self.no_repeat_ngram_size))


NO_RULES = Repetition()


def penalize_tokens(logits: tf.Tensor, tokens: tf.Tensor, penalty: float | tf.Tensor) -> tf.Tensor:
    """Applies the repetition penalty to the logits of the tokens that a hypothesis contains; returns all logits.

    Args:
        logits: float [N, V], the logits of the next token.
        tokens: int32 [N, L], the tokens of each hypothesis.
        penalty: `Repetition.repetition_penalty`.
    """

    def penalized() -> tf.Tensor:
        own = tf.gather(logits, tokens, batch_dims=1)  # [N, L]
        factor = tf.cast(penalty, logits.dtype)
        return tf.tensor_scatter_nd_update(logits, _indices(tokens), tf.where(own > 0, own / factor, own * factor))

    return tf.cond(tf.equal(penalty, 1.0), lambda: logits, penalized)


def ban_repeated_ngrams(logits: tf.Tensor, tokens: tf.Tensor, size: int | tf.Tensor) -> tf.Tensor:
    """Returns the logits, with -inf for each next token that would repeat an n-gram of the hypothesis.

    Args:
        logits: float32 [N, V], the logits of the next token.
        tokens: int32 [N, L], the tokens of each hypothesis.
        size: The number of tokens in an n-gram. 0 allows all repetitions.
    """
    size = tf.convert_to_tensor(size)
    ngrams = tf.shape(tokens)[1] - size + 1

    def banned() -> tf.Tensor:
        windows = tf.gather(tokens, tf.range(ngrams)[:, tf.newaxis] + tf.range(size), axis=1)  # [N, n-grams, n]
        newest = tokens[:, tf.newaxis, ngrams:]  # [N, 1, n - 1]
        matches = tf.reduce_all(windows[:, :, :-1] == newest, axis=2)
        repeating = tf.where(matches, windows[:, :, -1], PAD)  # PAD is never chosen anyway
        impossible = tf.fill(tf.shape(repeating), tf.constant(IMPOSSIBLE, logits.dtype))
        return tf.tensor_scatter_nd_update(logits, _indices(repeating), impossible)

    return tf.cond((size > 0) & (ngrams > 0), banned, lambda: logits)


def is_never_chosen(tokens: tf.Tensor) -> tf.Tensor:
    """Returns True for each of `tokens` (int32) that no search ever chooses: bool in the shape of `tokens`."""
    return tf.reduce_any(tf.expand_dims(tokens, -1) == NEVER_CHOSEN, axis=-1)


def is_early_end(tokens: tf.Tensor, position: tf.Tensor, min_tokens: int | tf.Tensor) -> tf.Tensor:
    """Returns True for each EOS among `tokens` (int32) if fewer than `min_tokens` tokens are chosen: bool, same shape.

    `position` (int32 []) is the number of tokens chosen so far.
    """
    return (tokens == EOS) & (position < min_tokens)


def forced_tokens(position: tf.Tensor, prefixes: tf.Tensor, length_limits: tf.Tensor) -> tf.Tensor:
    """Returns the token that must come next in each sentence, or PAD if no token is forced: int32 [B].

    Args:
        position: int32 [], the number of tokens chosen so far.
        prefixes: int32 [B, P], padded with PAD: the tokens that are forced at the first positions.
        length_limits: int32 [B], the largest number of tokens. EOS is forced at the last position.
    """
    prefixes = tf.pad(prefixes, [[0, 0], [0, 1]], constant_values=PAD)  # nothing is forced after the prefix
    of_prefix = prefixes[:, tf.minimum(position, tf.shape(prefixes)[1] - 1)]
    return tf.where(position + 1 >= length_limits, EOS, of_prefix)


def length_penalties(lengths: tf.Tensor, alpha: float | tf.Tensor) -> tf.Tensor:
    """Computes ((5 + length) / 6) ^ alpha (Wu et al. 2016, Eq. 14): float32 in the shape of `lengths`."""
    return tf.pow((5.0 + tf.cast(lengths, tf.float32)) / 6.0, tf.cast(alpha, tf.float32))


def _indices(tokens: tf.Tensor) -> tf.Tensor:
    """Returns the (row, token) indices of `tokens` [N, L] in a table [N, V]: int32 [N, L, 2]."""
    rows = tf.broadcast_to(tf.range(tf.shape(tokens)[0])[:, tf.newaxis], tf.shape(tokens))
    return tf.stack([rows, tokens], axis=2)
