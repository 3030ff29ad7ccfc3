"""The input and output types of a search: the step function, the model's state, and the hypotheses."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

TensorNest = Any  # a tensor or a tf.nest of tensors; only the model knows its structure


class SearchState(NamedTuple):
    """The model's state between two steps of a search."""

    beams: TensorNest  # leading axis B * K; the rows are reordered with the beams
    sentences: TensorNest = ()  # leading axis B


# (newest tokens int32 [B * K], number of tokens before them int32 [], state) -> (logits [B * K, V], state)
Step = Callable[[tf.Tensor, tf.Tensor, SearchState], tuple[tf.Tensor, SearchState]]


class Hypotheses(NamedTuple):
    """The K best translations of each of B sentences, best first.

    A sentence may have fewer than K hypotheses. For example, if its length limit is one token, the only hypothesis is
    EOS. The missing hypotheses have no tokens, length 0 and score -inf.
    """

    tokens: tf.Tensor  # int32 [B, K, T], EOS included, then PAD
    scores: tf.Tensor  # float32 [B, K], log-probability / length penalty
    log_probabilities: tf.Tensor  # float32 [B, K]
    lengths: tf.Tensor  # int32 [B, K], EOS included
    token_log_probabilities: tf.Tensor  # float32 [B, K, T], 0 at PAD

    def side_by_side(self, count: int | tf.Tensor) -> "Hypotheses":
        """Reshapes B * `count` rows with one hypothesis each to B rows with `count` hypotheses each, [B, count, …]."""
        lead = [-1, count]
        return Hypotheses(*(tf.reshape(values, tf.concat([lead, tf.shape(values)[2:]], axis=0)) for values in self))


HYPOTHESES_SPEC = Hypotheses(
    tokens=tf.TensorSpec([None, None, None], tf.int32),
    scores=tf.TensorSpec([None, None], tf.float32),
    log_probabilities=tf.TensorSpec([None, None], tf.float32),
    lengths=tf.TensorSpec([None, None], tf.int32),
    token_log_probabilities=tf.TensorSpec([None, None, None], tf.float32),
)
