"""Attention. Vaswani et al. 2017, section 3.2.

`ScaledDotProductAttention` is Eq. 1. `SelfAttention` and `CrossAttention` are the multi-head attention of section
3.2.2: they project the input, attend in H heads at once, and project the result. Self-attention computes queries, keys
and values from one sequence with one fused matrix product. Cross-attention computes queries from the decoder's input,
and keys and values from the encoder's output. When decoding, keys and values are computed once per sentence.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import keras

from keras_nmt.layers.sublayers.dropout import Dropout

MASKED_SCORE = -1e9  # exp(-1e9) is 0; unlike -inf, it gives no NaN in a row whose keys are all masked


class KeysValues(NamedTuple):
    """The projected keys and values of S positions for H heads, each [B, H, S, D/H]."""

    keys: keras.KerasTensor
    values: keras.KerasTensor


class AttentionSteps(NamedTuple):
    """The tensors of an attention sublayer with T queries, S keys and H heads, before the output projection."""

    query: keras.KerasTensor  # [B, H, T, D/H]
    key: keras.KerasTensor  # [B, H, S, D/H]
    value: keras.KerasTensor  # [B, H, S, D/H]
    weights: keras.KerasTensor  # float32 [B, H, T, S], with sum 1 over S
    mixed: keras.KerasTensor  # [B, H, T, D/H], the values, weighted and summed


class HeadWeights(NamedTuple):
    """The weights of one head of an attention sublayer. The biases are 0 in a sublayer without biases."""

    query_matrix: keras.KerasTensor  # [D, D/H]
    key_matrix: keras.KerasTensor  # [D, D/H]
    value_matrix: keras.KerasTensor  # [D, D/H]
    output_matrix: keras.KerasTensor  # [D/H, D], the rows of the output projection that read this head
    query_bias: keras.KerasTensor  # [D/H]
    key_bias: keras.KerasTensor  # [D/H]
    value_bias: keras.KerasTensor  # [D/H]
    output_bias: keras.KerasTensor  # [D], of the whole sublayer


class Cache(Protocol):
    """Keys and values of earlier decoding steps, for one self-attention layer."""

    def append(self, new: KeysValues) -> KeysValues:
        """Adds the keys and values of T new tokens, [B, H, T, D/H]. Returns the whole cache, [B, H, S, D/H]."""


@dataclass(frozen=True)
class AttentionContext:
    """The arguments of a self-attention layer besides the input [B, T, D]: mask, positions and cache.

    Attributes:
        may_attend: Mask that is True where a query may attend to a key: bool, broadcast to [B, H, T, S], for T queries
            and S keys. Without a cache, S is T.
        positions: Position of each input token in its sequence: int32 [T] or [B, T]. None means 0 … T - 1.
        cache: Keys and values of earlier decoding steps. With a cache, the input holds only the new tokens.
    """

    may_attend: keras.KerasTensor
    positions: keras.KerasTensor | None = None
    cache: Cache | None = None


@dataclass(frozen=True)
class SourceContext:
    """The arguments of a cross-attention layer besides the input [B, T, D]: keys, values and mask.

    Attributes:
        keys_values: Keys and values that the same layer projected from the encoder's output.
        may_attend: Mask that is True where a query may attend to a source position: bool, broadcast to [B, H, T, S].
    """

    keys_values: KeysValues
    may_attend: keras.KerasTensor


@keras.saving.register_keras_serializable(package="nmt")
class ScaledDotProductAttention(keras.layers.Layer):
    """Attention(Q, K, V) = softmax(Q K^T / sqrt(d_k)) V (Eq. 1).

    The layer has no trainable weights. The softmax is computed in float32 under every precision policy.
    """

    def __init__(self, dropout: float = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.dropout = dropout
        self.drop = Dropout(dropout, name="drop", dtype=self.dtype_policy)

    def build(self, query_shape: tuple[Any, ...]) -> None:
        """Builds the dropout layer. Creates no weights."""
        self.drop.build(query_shape)

    def call(
        self,
        query: keras.KerasTensor,
        key: keras.KerasTensor,
        value: keras.KerasTensor,
        may_attend: keras.KerasTensor,
        training: bool | None = None,
    ) -> keras.KerasTensor:
        """Attends from T queries to S keys: [B, H, T, d_k] -> [B, H, T, d_k].

        `may_attend` is bool, broadcast to [B, H, T, S]. A query that may attend to no key gets the mean of all values.
        This happens only to queries at padding.
        """
        return self.steps(query, key, value, may_attend, training).mixed

    def steps(
        self,
        query: keras.KerasTensor,
        key: keras.KerasTensor,
        value: keras.KerasTensor,
        may_attend: keras.KerasTensor,
        training: bool | None = None,
    ) -> AttentionSteps:
        """Computes what `call` computes; returns all its tensors."""
        weights = self.attention_weights(query, key, may_attend)
        dropped = self.drop(keras.ops.cast(weights, self.compute_dtype), training=training)
        return AttentionSteps(query, key, value, weights, keras.ops.matmul(dropped, value))

    def attention_weights(
        self, query: keras.KerasTensor, key: keras.KerasTensor, may_attend: keras.KerasTensor
    ) -> keras.KerasTensor:
        """Returns the weight of each key for each query: float32 [B, H, T, S], with sum 1 over S."""
        scale = query.shape[-1] ** -0.5
        scores = keras.ops.matmul(query * scale, keras.ops.swapaxes(key, -1, -2))  # [B, H, T, S]
        # The mask is not added: TensorFlow would fuse the addition into the matrix product, and the fused kernel is
        # hundreds of times slower when the mask is broadcast.
        scores = keras.ops.where(may_attend, keras.ops.cast(scores, "float32"), MASKED_SCORE)
        # With one key the weight is always 1, and Keras would warn about a softmax over one score.
        return keras.ops.ones_like(scores) if scores.shape[-1] == 1 else keras.ops.softmax(scores, axis=-1)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "dropout": self.dropout}


class MultiHeadAttention(keras.layers.Layer):
    """Base class of self-attention and cross-attention, with methods for projections and heads.

    By default, the projections have no bias, as in Vaswani et al. 2017. With `use_bias`, each projection has a bias, as
    in Marian.
    """

    def __init__(self, heads: int, dropout: float = 0.0, use_bias: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.heads = heads
        self.dropout = dropout
        self.use_bias = use_bias
        self.attend = ScaledDotProductAttention(dropout, name="attend", dtype=self.dtype_policy)

    def projection(self, name: str, width: int, count: int = 1) -> keras.layers.Dense:
        """Returns one dense layer that computes `count` projections, each from `width` to `width` features.

        Each projection is initialised as if it were a matrix of its own, [width, width] (Glorot uniform).
        """
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
        """Projects x [B, T, D] with `projection` and splits the result into `count` tensors [B, H, T, D/H]."""
        _, length, width = keras.ops.shape(x)
        rows = projection(keras.ops.reshape(x, (-1, width)))  # TensorFlow needs a dozen ops for a 3-D matrix product
        heads = keras.ops.reshape(rows, (-1, length, count, self.heads, width // self.heads))
        heads = keras.ops.transpose(heads, (2, 0, 3, 1, 4))  # [count, B, H, T, D/H]
        # The gradient of `unstack` is one `stack`. The gradient of slices would be `count` padded copies.
        return keras.ops.unstack(heads, count)

    def out_of_heads(self, projection: keras.layers.Dense, x: keras.KerasTensor) -> keras.KerasTensor:
        """Joins the heads of x and projects the result: [B, H, T, D/H] -> [B, T, D]."""
        _, heads, length, head_width = keras.ops.shape(x)
        rows = keras.ops.reshape(keras.ops.transpose(x, (0, 2, 1, 3)), (-1, heads * head_width))
        return keras.ops.reshape(projection(rows), (-1, length, heads * head_width))

    def _of_head(self, head: keras.KerasTensor, *projections: keras.layers.Dense) -> HeadWeights:
        """Returns the weights of one head. `projections` compute query, key and value, in this order."""
        matrices, biases = [], []
        width = self.output_projection.kernel.shape[0]
        for dense in projections:
            shape = (dense.kernel.shape[1] // width, self.heads, width // self.heads)
            own = keras.ops.take(keras.ops.reshape(dense.kernel, (width, *shape)), head, axis=2)
            matrices += keras.ops.unstack(own, shape[0], axis=1)
            bias = dense.bias if self.use_bias else keras.ops.zeros(dense.kernel.shape[1])
            biases += keras.ops.unstack(keras.ops.take(keras.ops.reshape(bias, shape), head, axis=1), shape[0])
        output = self.output_projection
        matrices.append(keras.ops.take(keras.ops.reshape(output.kernel, (self.heads, -1, width)), head, axis=0))
        biases.append(output.bias if self.use_bias else keras.ops.zeros(width))
        return HeadWeights(*(keras.ops.cast(weight, "float32") for weight in (*matrices, *biases)))

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments of the constructor."""
        return {**super().get_config(), "heads": self.heads, "dropout": self.dropout, "use_bias": self.use_bias}


@keras.saving.register_keras_serializable(package="nmt")
class SelfAttention(MultiHeadAttention):
    """Attention of a sequence to itself, with one fused projection for queries, keys and values."""

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the projections for inputs [B, T, D]."""
        width = input_shape[-1]
        self.query_key_value = self.projection("query_key_value", width, count=3)
        self.output_projection = self.projection("output_projection", width)

    def call(self, x: keras.KerasTensor, context: AttentionContext, training: bool | None = None) -> keras.KerasTensor:
        """Attends within a sequence: [B, T, D] -> [B, T, D].

        If `context` has a cache, x holds only the new tokens, which also attend to the earlier tokens in the cache.
        """
        query, key, value = self._projected(x, context)
        attended = self.attend(query, key, value, may_attend=context.may_attend, training=training)
        return self.out_of_heads(self.output_projection, attended)

    def steps(self, x: keras.KerasTensor, context: AttentionContext) -> AttentionSteps:
        """Returns the tensors that `call` computes for x [B, T, D] without dropout."""
        return self.attend.steps(*self._projected(x, context), context.may_attend, training=False)

    def _projected(
        self, x: keras.KerasTensor, context: AttentionContext
    ) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
        """Returns the queries of x [B, T, D], and the keys and values that they may attend to."""
        query, key, value = self.into_heads(self.query_key_value, x, count=3)
        if context.cache is not None:
            key, value = context.cache.append(KeysValues(key, value))
        return query, key, value

    def of_head(self, head: keras.KerasTensor) -> HeadWeights:
        """Returns the weights of one head; `head` is an integer, from 0."""
        return self._of_head(head, self.query_key_value)


@keras.saving.register_keras_serializable(package="nmt")
class CrossAttention(MultiHeadAttention):
    """Attention of the decoder to the encoder's output."""

    def build(self, input_shape: tuple[Any, ...]) -> None:
        """Creates the projections for inputs [B, T, D] and an encoder output of the same width D."""
        width = input_shape[-1]
        self.query = self.projection("query", width)
        self.key_value = self.projection("key_value", width, count=2)
        self.output_projection = self.projection("output_projection", width)

    def keys_values(self, memory: keras.KerasTensor) -> KeysValues:
        """Projects the encoder's output [B, S, D] to keys and values [B, H, S, D/H]."""
        return KeysValues(*self.into_heads(self.key_value, memory, count=2))

    def call(self, x: keras.KerasTensor, source: SourceContext, training: bool | None = None) -> keras.KerasTensor:
        """Attends from target positions to source positions: [B, T, D] -> [B, T, D]."""
        (query,) = self.into_heads(self.query, x)
        attended = self.attend(query, *source.keys_values, may_attend=source.may_attend, training=training)
        return self.out_of_heads(self.output_projection, attended)

    def steps(self, x: keras.KerasTensor, source: SourceContext) -> AttentionSteps:
        """Returns the tensors that `call` computes for x [B, T, D] without dropout."""
        (query,) = self.into_heads(self.query, x)
        return self.attend.steps(query, *source.keys_values, source.may_attend, training=False)

    def of_head(self, head: keras.KerasTensor) -> HeadWeights:
        """Returns the weights of one head; `head` is an integer, from 0."""
        return self._of_head(head, self.query, self.key_value)
