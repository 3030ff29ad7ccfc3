"""The block of tokens that a language model attends to, with their keys and values.

A prompt is read in one pass, then token by token. Each row of a batch has its own number of tokens, so a row's result
does not depend on the other rows. The model attends to at most `context_tokens` tokens, of which the first is always
BOS. When a block is full, it slides: its last half is read again after BOS, and the earlier tokens are forgotten.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from keras_nmt.app.decoding.network.beam_cache import LayerCache
from keras_nmt.app.decoding.network.traced import traced
from keras_nmt.app.decoding.search.hypotheses import TensorNest
from keras_nmt.app.decoding.text.texts import row_lengths
from keras_nmt.layers.masks import causal_mask
from keras_nmt.layers.sublayers.attention import Cache, KeysValues
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, PAD


class CausalNetwork(Protocol):
    """The methods of `layers.LanguageModel` that decoding uses."""

    @property
    def weights(self) -> Sequence[Any]:
        """All weights, as Keras variables."""

    def count_params(self) -> int:
        """Returns the number of values in all weights."""

    def decode(self, target: tf.Tensor) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each of the ids [B, T]."""

    def empty_cache(self, rows: int | tf.Tensor, length: int | tf.Tensor) -> list[KeysValues]:
        """Returns zeros [rows, H, length, D/H] for the keys and values of each layer."""

    def decode_step(
        self, tokens: tf.Tensor, positions: tf.Tensor, caches: Sequence[Cache], may_attend: tf.Tensor
    ) -> tf.Tensor:
        """Computes the logits [B, T, V] of the next token after each new token [B, T]."""


class Block(NamedTuple):
    """The tokens that B rows have read, with room for L tokens; L is at most `context_tokens`."""

    tokens: tf.Tensor  # int32 [B, L], BOS first, PAD where nothing is read yet
    lengths: tf.Tensor  # int32 [B], the number of tokens
    written: TensorNest  # a list of `KeysValues`, one for each layer, each [B, H, L, D/H]; 0 where nothing is read yet


class PromptCache:
    """A `layers.sublayers.attention.Cache` that is empty, and keeps the keys and values of the tokens it is given."""

    written: KeysValues

    def append(self, new: KeysValues) -> KeysValues:
        """Keeps and returns the keys and values [B, H, T, D/H]."""
        self.written = new
        return new


class BlockReader(tf.Module):
    """Reads tokens into the blocks of a batch.

    Args:
        network: The language model.
        context_tokens: The largest number of tokens that the model attends to, BOS included; at least 2.

    Raises:
        ValueError: `context_tokens` is less than 2.
    """

    def __init__(self, network: CausalNetwork, context_tokens: int) -> None:
        super().__init__(name="blocks")
        if context_tokens < 2:
            raise ValueError(f"context_tokens is {context_tokens}; it must be at least 2")
        self.network = network
        self.context_tokens = context_tokens
        self.kept_tokens = kept_tokens(context_tokens)
        layers = network.empty_cache(1, 1)
        self.layers = len(layers)
        self.spec = Block(
            tokens=tf.TensorSpec([None, None], tf.int32),
            lengths=tf.TensorSpec([None], tf.int32),
            written=tf.nest.map_structure(
                lambda zeros: tf.TensorSpec([None, zeros.shape[1], None, zeros.shape[3]], zeros.dtype), layers
            ),
        )
        self.read = traced(self._read, self.spec.tokens, self.spec.lengths, tf.TensorSpec([], tf.int32))

    def begin(self, prompts: tf.RaggedTensor, more_tokens: tf.Tensor) -> tuple[Block, tf.Tensor]:
        """Reads BOS and each prompt except the last token, which the first step reads.

        Args:
            prompts: int32 [B, (P)], without BOS. If a prompt is longer than the context, its last tokens are read.
            more_tokens: int32 [], the largest number of tokens that will be read afterwards.

        Returns:
            The blocks, and the last tokens, int32 [B].
        """
        prompts = prompts[:, 1 - self.context_tokens :]
        lengths = row_lengths(prompts)
        longest = tf.maximum(0, tf.reduce_max(lengths))
        room = tf.minimum(self.context_tokens, longest + 1 + more_tokens)
        ids = tf.pad(prompts.to_tensor(PAD), [[0, 0], [1, 0]], constant_values=BOS)  # [B, 1 + P]
        last = tf.gather(ids, lengths, batch_dims=1)
        return self.read(ids[:, : tf.maximum(1, longest)], lengths, room), last

    def step(self, tokens: tf.Tensor, block: Block) -> tuple[tf.Tensor, Block]:
        """Reads one more token of each row, int32 [B]; returns the logits of the next tokens, [B, V], and the block."""
        room = tf.shape(block.tokens)[1]
        block = tf.cond(tf.reduce_any(block.lengths >= room), lambda: self._slid(block), lambda: block)
        here = tf.range(room) == block.lengths[:, tf.newaxis]  # [B, L]
        may_attend = (tf.range(room) <= block.lengths[:, tf.newaxis])[:, tf.newaxis, tf.newaxis]
        caches = [LayerCache(own, _places(block.lengths, own.keys.shape[1]), room) for own in block.written]
        positions = block.lengths[:, tf.newaxis]
        logits = self.network.decode_step(tokens[:, tf.newaxis], positions, caches, may_attend)
        read = tf.where(here, tokens[:, tf.newaxis], block.tokens)
        return logits[:, 0], Block(read, block.lengths + 1, [cache.written for cache in caches])

    def _slid(self, block: Block) -> Block:
        """Makes room in the rows that are full."""
        room = tf.shape(block.tokens)[1]
        full = tf.where(block.lengths >= room)  # [F, 1]
        recent = tf.gather_nd(block.tokens, full)[:, room - self.kept_tokens + 1 :]  # and the token that is read next
        tokens = tf.pad(recent, [[0, 0], [1, 0]], constant_values=BOS)  # [F, kept tokens]
        fresh = self.read(tokens, tf.fill([tf.shape(full)[0]], self.kept_tokens), room)
        return tf.nest.map_structure(lambda old, new: tf.tensor_scatter_nd_update(old, full, new), block, fresh)

    def _read(self, tokens: tf.Tensor, lengths: tf.Tensor, room: tf.Tensor) -> Block:
        """Reads the first `lengths` tokens of rows of tokens, int32 [B, T], into new blocks with room for L tokens."""
        width = tf.shape(tokens)[1]
        caches = [PromptCache() for _ in range(self.layers)]
        self.network.decode_step(tokens, tf.range(width), caches, causal_mask(width))  # the logits are not computed
        is_read = tf.range(width) < lengths[:, tf.newaxis]  # [B, T]

        def with_room(values: tf.Tensor) -> tf.Tensor:
            own = tf.where(is_read[:, tf.newaxis, :, tf.newaxis], values, tf.zeros([], values.dtype))
            return tf.pad(own, [[0, 0], [0, 0], [0, room - width], [0, 0]])

        written = tf.nest.map_structure(with_room, [cache.written for cache in caches])
        return Block(tf.pad(tf.where(is_read, tokens, PAD), [[0, 0], [0, room - width]]), lengths, written)


def kept_tokens(context_tokens: int) -> int:
    """Returns how many of its last tokens a full block keeps, besides BOS, when it slides."""
    return context_tokens // 2


def _places(lengths: tf.Tensor, heads: int) -> tf.Tensor:
    """Returns the row, head and position of each vector to write: int32 [B * H, 3]."""
    numbers = tf.range(tf.size(lengths) * heads)
    return tf.stack([numbers // heads, numbers % heads, tf.repeat(lengths, heads)], axis=1)
