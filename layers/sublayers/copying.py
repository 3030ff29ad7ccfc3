"""Copying from the source: a pointer-generator (See, Liu and Manning 2017, section 2.2).

The probability of a token is g p_vocabulary + (1 - g) p_copy. p_vocabulary is the softmax of the logits, p_copy is the
sum of a copy attention over the source positions that hold the token, and the gate g is the probability of generating.

A name or a number is several tokens, which are copied one after another. So a source position gets a higher score if
the token before it is the last token of the target, and the gate can depend on this too: two learned numbers, which are
0 at first. Without them, the decoder must first learn to find the position after the one it has copied. CopyNet (Gu et
al. 2016) gives its decoder the encoder's output at the copied position instead.

The copy attention is an attention of its own, with one head, from the decoder's output to the encoder's. The paper uses
its only cross-attention. A Transformer has several layers and heads of it, which have other work to do, and a cache for
their keys only. The gate reads the decoder's output and the copy attention's context. The decoder's input, which the
paper's gate reads too, is part of the decoder's output, because each residual connection adds to it.

Everything is computed for the S source positions of a target position, never for S times V: each token of the source is
represented by the first position that holds it. With c = (1 - g) p_copy, this position adds softplus(log c - log g
p_vocabulary) to the token's log-probability.
"""

from typing import Any, NamedTuple

import keras

from keras_nmt.layers.masks import EOS, PAD
from keras_nmt.layers.sublayers.attention import MASKED_SCORE

SMALLEST = 1e-30  # below this copy probability, log has no gradient; float32 ends at 1e-38


class CopyMemory(NamedTuple):
    """The source as the copy attention reads it; d is the width of the attention."""

    keys: keras.KerasTensor  # [B, S, d]
    votes: keras.KerasTensor  # float32 [B, S], what each position adds to the gate if it is attended to
    source: keras.KerasTensor  # int32 [B, S], the source ids
    before: keras.KerasTensor  # int32 [B, S], the source id before each position; -1 before the first
    groups: keras.KerasTensor  # float32 [B, S, S], 1 if the token of position i is first found at position j, else 0


class Copies(NamedTuple):
    """What may be copied at each target position."""

    log_gate: keras.KerasTensor  # float32 [B, T], log g
    log_copied: keras.KerasTensor  # float32 [B, T, S], log c at the first position of each token; else `MASKED_SCORE`
    source: keras.KerasTensor  # int32 [B, S], the source ids


@keras.saving.register_keras_serializable(package="nmt")
class CopyAttention(keras.layers.Layer):
    """The copy attention and the gate. PAD and EOS are never copied.

    Args:
        width: The width of queries and keys, d.
        kwargs: The keyword arguments of `keras.layers.Layer`.
    """

    def __init__(self, width: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)  # probabilities stay in float32 under every precision policy
        self.width = width

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the weights for decoder and encoder outputs of the same width, [B, T, D] and [B, S, D]."""
        sizes = {"query": self.width, "key": self.width, "gate": 1, "vote": 1}
        for name, size in sizes.items():
            dense = keras.layers.Dense(size, use_bias=name == "gate", name=name, dtype=self.dtype_policy)
            dense.build((None, input_shape[-1]))
            setattr(self, name, dense)
        # What is added to the score of a position that continues the target, and to the gate if it is attended to.
        self.continuation = self.add_weight(name="continuation", shape=(2,), initializer="zeros", autocast=False)

    def memory(self, source: keras.KerasTensor, memory: keras.KerasTensor) -> CopyMemory:
        """Prepares the source ids [B, S] and the encoder's output [B, S, D] for `call`."""
        source = keras.ops.cast(source, "int32")
        may_be_copied = keras.ops.logical_and(keras.ops.not_equal(source, PAD), keras.ops.not_equal(source, EOS))
        is_same = keras.ops.equal(source[:, :, None], source[:, None, :])  # [B, S, S]
        is_same = keras.ops.logical_and(is_same, may_be_copied[:, :, None])
        # The earlier positions with the token of position j are those above the diagonal.
        earlier = keras.ops.triu(keras.ops.cast(is_same, "float32"), k=1)
        is_first = keras.ops.equal(keras.ops.sum(earlier, axis=1), 0)
        groups = keras.ops.cast(keras.ops.logical_and(is_same, is_first[:, None, :]), "float32")
        votes = keras.ops.cast(self.vote(memory)[:, :, 0], "float32")
        before = keras.ops.pad(source[:, :-1], ((0, 0), (1, 0)), constant_values=-1)
        return CopyMemory(self.key(memory), votes, source, before, groups)

    def call(
        self,
        states: keras.KerasTensor,
        tokens: keras.KerasTensor,
        memory: CopyMemory,
        may_attend: keras.KerasTensor,
    ) -> Copies:
        """Computes the gate and the copy probabilities for the decoder's output [B, T, D].

        If no source position may be copied, the gate is 1.

        Args:
            states: The decoder's output.
            tokens: The decoder's input, int32 [B, T]: the token before the one that is predicted.
            memory: The result of `memory`.
            may_attend: Mask that is True where a target position may attend to a source position: bool, broadcast to
                [B, 1, T, S].
        """
        may_copy = keras.ops.logical_and(may_attend[:, 0], keras.ops.any(memory.groups > 0, axis=2)[:, None, :])
        scores = keras.ops.matmul(self.query(states) * self.width**-0.5, keras.ops.swapaxes(memory.keys, 1, 2))
        is_next = keras.ops.equal(memory.before[:, None, :], keras.ops.cast(tokens, "int32")[:, :, None])
        continues = keras.ops.cast(is_next, "float32")  # [B, T, S]
        scores = keras.ops.cast(scores, "float32") + self.continuation[0] * continues
        scores = keras.ops.where(may_copy, scores, MASKED_SCORE)  # [B, T, S]
        weights = keras.ops.softmax(scores, axis=-1) if scores.shape[-1] != 1 else keras.ops.ones_like(scores)
        weights = keras.ops.where(may_copy, weights, 0.0)  # also where nothing may be copied
        context = keras.ops.matmul(weights, memory.votes[:, :, None])[:, :, 0]
        context = context + self.continuation[1] * keras.ops.sum(weights * continues, axis=-1)
        gate = keras.ops.cast(self.gate(states)[:, :, 0], "float32") + context  # [B, T], before the sigmoid
        of_tokens = keras.ops.matmul(weights, memory.groups)  # p_copy at the first position of each token
        log_copied = keras.ops.log(keras.ops.maximum(of_tokens, SMALLEST)) + keras.ops.log_sigmoid(-gate)[:, :, None]
        return Copies(
            keras.ops.where(keras.ops.any(may_copy, axis=-1), keras.ops.log_sigmoid(gate), 0.0),
            keras.ops.where(of_tokens > 0, log_copied, MASKED_SCORE),
            memory.source,
        )

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "width": self.width}


def with_copies(logits: keras.KerasTensor, copies: Copies) -> keras.KerasTensor:
    """Returns the log-probabilities of a model that copies: float32 [B, T, V].

    Args:
        logits: The logits of p_vocabulary, [B, T, V].
        copies: What may be copied.
    """
    shape = keras.ops.shape(logits)
    log_generated = copies.log_gate[:, :, None] + keras.ops.log_softmax(keras.ops.cast(logits, "float32"))
    tokens = keras.ops.broadcast_to(copies.source[:, None, :], keras.ops.shape(copies.log_copied))  # [B, T, S]
    gains = keras.ops.softplus(copies.log_copied - keras.ops.take_along_axis(log_generated, tokens, axis=2))
    rows = keras.ops.broadcast_to(
        keras.ops.reshape(keras.ops.arange(shape[0] * shape[1]), (-1, shape[1], 1)), keras.ops.shape(tokens)
    )
    places = keras.ops.stack([keras.ops.reshape(ids, (-1,)) for ids in (rows, tokens)], axis=1)  # [B * T * S, 2]
    flat = keras.ops.reshape(log_generated, (-1, shape[2]))
    added = keras.ops.scatter_update(flat, places, keras.ops.reshape(gains, (-1,)), reduction="add")
    return keras.ops.reshape(added, shape)
