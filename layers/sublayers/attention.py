"""Attention. Vaswani et al. 2017, section 3.2.

`ScaledDotProductAttention` is Eq. 1. `SelfAttention` and `CrossAttention` are the multi-head attention of section
3.2.2: they project, attend in H heads at once, and project back. They differ in what they project: a
self-attention makes queries, keys and values of one sequence with one fused product; a cross-attention makes
keys and values of the encoder's output, once per sentence.
"""

from typing import Any, NamedTuple, Protocol

import keras

from layers.sublayers.dropout import Dropout

FORBIDDEN = -1e9  # a masked score; exp of it is 0 in float32, and it is finite where all is masked


class KeysValues(NamedTuple):
    """What queries attend to: keys and values, each [B, H, S, D/H]."""

    keys: keras.KerasTensor
    values: keras.KerasTensor


class Cache(Protocol):
    """What a self-attention has seen so far, for decoding step by step."""

    def append(self, new: KeysValues) -> KeysValues:
        """Remembers new keys and values, [B, H, T, D/H], and gives all there are to attend to, [B, H, S, D/H]."""


@keras.saving.register_keras_serializable(package="nmt")
class ScaledDotProductAttention(keras.layers.Layer):
    """Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V (Eq. 1); has no weights.

    The softmax is taken in float32 whatever the precision policy.
    """

    def __init__(self, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout
        self.drop = Dropout(dropout, name="drop", dtype=self.dtype_policy)

    def build(self, query_shape: tuple[Any, ...]) -> None:
        """Has no weights."""
        self.drop.build(query_shape)

    def call(
        self,
        query: keras.KerasTensor,
        key: keras.KerasTensor,
        value: keras.KerasTensor,
        may_attend: keras.KerasTensor,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """[B, H, T, d_k] attends over S positions -> [B, H, T, d_k].

        `may_attend` is bool, broadcast to [B, H, T, S]. A query that may attend to nothing takes the mean of the
        values; such a query is itself padding.
        """
        weights = self.attention_weights(query, key, may_attend)
        weights = self.drop(keras.ops.cast(weights, self.compute_dtype), training=training)
        return keras.ops.matmul(weights, value)

    def attention_weights(
        self, query: keras.KerasTensor, key: keras.KerasTensor, may_attend: keras.KerasTensor
    ) -> keras.KerasTensor:
        """How much each query attends to each key: float32 [B, H, T, S], of sum 1 over S."""
        scale = query.shape[-1] ** -0.5
        scores = keras.ops.matmul(query * scale, keras.ops.swapaxes(key, -1, -2))  # [B, H, T, S]
        # Selected, not added: TensorFlow fuses an addition into the product, with a kernel that is hundreds of times
        # slower where the mask is broadcast.
        scores = keras.ops.where(may_attend, keras.ops.cast(scores, "float32"), FORBIDDEN)
        # Keras warns of a softmax over one key, which takes all the weight.
        return keras.ops.ones_like(scores) if scores.shape[-1] == 1 else keras.ops.softmax(scores, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "dropout": self.dropout}


class MultiHeadAttention(keras.layers.Layer):
    """What both multi-head attentions share: the heads and the projections.

    These have no bias, as in the paper, unless `use_bias` gives each one (as in Marian).
    """

    def __init__(self, heads: int, dropout: float = 0.0, use_bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.dropout = dropout
        self.use_bias = use_bias
        self.attend = ScaledDotProductAttention(dropout, name="attend", dtype=self.dtype_policy)

    def projection(self, name: str, width: int, count: int = 1) -> keras.layers.Dense:
        """`count` projections D -> D as one product, each with Glorot's uniform limits for its own D x D matrix."""
        limit = (6.0 / (2 * width)) ** 0.5
        dense = keras.layers.Dense(
            count * width,
            use_bias=self.use_bias,
            kernel_initializer=keras.initializers.RandomUniform(-limit, limit),
            name=name,
            dtype=self.dtype_policy,
        )
        dense.build((None, width))
        return dense

    def into_heads(self, projection: keras.layers.Dense, x: keras.KerasTensor, count: int = 1) -> list[Any]:
        """Projects [B, T, D] to `count` tensors [B, H, T, D/H]."""
        _, length, width = keras.ops.shape(x)
        rows = projection(keras.ops.reshape(x, (-1, width)))  # of a 3-D product TensorFlow makes a dozen ops
        heads = keras.ops.reshape(rows, (-1, length, count, self.heads, width // self.heads))
        heads = keras.ops.transpose(heads, (2, 0, 3, 1, 4))  # [count, B, H, T, D/H]
        return keras.ops.unstack(heads, count)  # its gradient is one stack; that of slices is `count` padded copies

    def out_of_heads(self, projection: keras.layers.Dense, x: keras.KerasTensor) -> keras.KerasTensor:
        """Projects [B, H, T, D/H] to [B, T, D]."""
        _, heads, length, head_width = keras.ops.shape(x)
        rows = keras.ops.reshape(keras.ops.transpose(x, (0, 2, 1, 3)), (-1, heads * head_width))
        return keras.ops.reshape(projection(rows), (-1, length, heads * head_width))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "heads": self.heads, "dropout": self.dropout, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable(package="nmt")
class SelfAttention(MultiHeadAttention):
    """A sequence attends to itself; queries, keys and values come of one fused projection."""

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Makes the projections for inputs [B, T, D]."""
        width = input_shape[-1]
        self.query_key_value = self.projection("query_key_value", width, count=3)
        self.output_projection = self.projection("output_projection", width)

    def call(
        self,
        x: keras.KerasTensor,
        may_attend: keras.KerasTensor,
        cache: Cache | None = None,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """[B, T, D] -> [B, T, D]; `may_attend` is broadcast to [B, H, T, S], and S is T without a cache.

        With a cache, x holds new positions alone, and they attend to all that the cache gives.
        """
        query, key, value = self.into_heads(self.query_key_value, x, count=3)
        if cache is not None:
            key, value = cache.append(KeysValues(key, value))
        attended = self.attend(query, key, value, may_attend=may_attend, training=training)
        return self.out_of_heads(self.output_projection, attended)

    def attention_weights(self, x: keras.KerasTensor, may_attend: keras.KerasTensor) -> keras.KerasTensor:
        """How much each position of x [B, T, D] attends to each: float32 [B, H, T, T]."""
        query, key, _ = self.into_heads(self.query_key_value, x, count=3)
        return self.attend.attention_weights(query, key, may_attend)


@keras.saving.register_keras_serializable(package="nmt")
class CrossAttention(MultiHeadAttention):
    """The decoder attends to the encoder's output, whose keys and values are projected once."""

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Makes the projections; the encoder's output is as wide as the decoder's input [B, T, D]."""
        width = input_shape[-1]
        self.query = self.projection("query", width)
        self.key_value = self.projection("key_value", width, count=2)
        self.output_projection = self.projection("output_projection", width)

    def keys_values(self, memory: keras.KerasTensor) -> KeysValues:
        """Projects the encoder's output [B, S, D] -> keys and values [B, H, S, D/H]."""
        return KeysValues(*self.into_heads(self.key_value, memory, count=2))

    def call(
        self,
        x: keras.KerasTensor,
        memory: KeysValues,
        may_attend: keras.KerasTensor,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """[B, T, D] -> [B, T, D]; `may_attend` is broadcast to [B, H, T, S]."""
        (query,) = self.into_heads(self.query, x)
        attended = self.attend(query, memory.keys, memory.values, may_attend=may_attend, training=training)
        return self.out_of_heads(self.output_projection, attended)

    def attention_weights(
        self, x: keras.KerasTensor, memory: KeysValues, may_attend: keras.KerasTensor
    ) -> keras.KerasTensor:
        """How much each position of x [B, T, D] attends to each of the encoder's output: float32 [B, H, T, S]."""
        (query,) = self.into_heads(self.query, x)
        return self.attend.attention_weights(query, memory.keys, may_attend)
