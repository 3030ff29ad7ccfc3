"""The Transformer in NumPy and float64, written from the equations of Vaswani et al. 2017.

The slow and obvious form of each: one matrix for each head, a loop over the heads, masks of minus infinity. The batch
axis comes first everywhere. Only the last part depends on `layers`: it reads their weights by name.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PAD = 0

Array = np.ndarray[Any, Any]
Named = Mapping[str, Array]


@dataclass(frozen=True)
class Attention:
    """Section 3.2.2: W_i^Q, W_i^K, W_i^V are [D, D/H] for each of H heads; W^O is [D, D]."""

    query: Sequence[Array]
    key: Sequence[Array]
    value: Sequence[Array]
    output: Array


@dataclass(frozen=True)
class FeedForward:
    """Eq. 2: W1 [D, d_ff], b1, W2 [d_ff, D], b2."""

    w1: Array
    b1: Array
    w2: Array
    b2: Array


@dataclass(frozen=True)
class Norm:
    """Ba et al. 2016: gain and bias, each [D]."""

    gain: Array
    bias: Array


@dataclass(frozen=True)
class EncoderLayer:
    """Two sublayers and the normalisation of each, in order."""

    self_attention: Attention
    feed_forward: FeedForward
    norms: Sequence[Norm]


@dataclass(frozen=True)
class DecoderLayer:
    """Two or three sublayers and the normalisation of each, in order."""

    self_attention: Attention
    cross_attention: Attention | None  # None in a language model
    feed_forward: FeedForward
    norms: Sequence[Norm]


@dataclass(frozen=True)
class Stack:
    """Layers: pre-norm with a final normalisation, or post-norm without it, as in the paper."""

    layers: Sequence[Any]
    final_norm: Norm | None

    @property
    def normalization(self) -> str:
        """The place of the normalisation in each layer."""
        return "post" if self.final_norm is None else "pre"


@dataclass(frozen=True)
class LanguageModel:
    """The decoder without attention to an encoder, with one matrix [V, D] for the embeddings and the projection."""

    embeddings: Array
    decoder: Stack


@dataclass(frozen=True)
class Transformer:
    """Figure 1, with one matrix [V, D] for both embeddings and the projection (section 3.4)."""

    embeddings: Array
    encoder: Stack
    decoder: Stack


def softmax(x: Array) -> Array:
    """Computes the softmax over the last axis."""
    powers = np.exp(x - x.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def scaled_dot_product_attention(query: Array, key: Array, value: Array, may_attend: Array) -> Array:
    """Eq. 1 for [..., T, d_k], [..., S, d_k], [..., S, d_v]; a query must be allowed at least one key."""
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(query.shape[-1])
    return softmax(np.where(may_attend, scores, -np.inf)) @ value


def multi_head_attention(queries: Array, memory: Array, weights: Attention, may_attend: Array) -> Array:
    """Concat(head_1, …, head_H) W^O from [B, T, D] over [B, S, D]; `may_attend` is broadcast to [B, T, S]."""
    heads = [
        scaled_dot_product_attention(queries @ w_query, memory @ w_key, memory @ w_value, may_attend)
        for w_query, w_key, w_value in zip(weights.query, weights.key, weights.value, strict=True)
    ]
    return np.concatenate(heads, axis=-1) @ weights.output


def feed_forward(x: Array, weights: FeedForward) -> Array:
    """Eq. 2."""
    return np.maximum(0, x @ weights.w1 + weights.b1) @ weights.w2 + weights.b2


def layer_norm(x: Array, weights: Norm, epsilon: float = 1e-6) -> Array:
    """Normalises over the last axis; the epsilon is Tensor2Tensor's, as the paper gives none."""
    centred = x - x.mean(-1, keepdims=True)
    return weights.gain * centred / np.sqrt((centred**2).mean(-1, keepdims=True) + epsilon) + weights.bias


def residual(x: Array, sublayer: Callable[[Array], Array], norm: Norm, normalization: str) -> Array:
    """LayerNorm(x + Sublayer(x)) for "post" (section 3.1), x + Sublayer(LayerNorm(x)) for "pre"."""
    if normalization == "pre":
        return x + sublayer(layer_norm(x, norm))
    return layer_norm(x + sublayer(x), norm)


def sinusoids(positions: Sequence[int] | Array, width: int) -> Array:
    """Section 3.5, one entry at a time: [T, D]."""
    table = np.zeros((len(positions), width))
    for row, position in enumerate(positions):
        for column in range(width):
            angle = position / 10_000 ** (2 * (column // 2) / width)
            table[row, column] = np.cos(angle) if column % 2 else np.sin(angle)
    return table


def embed(ids: Array, embeddings: Array) -> Array:
    """Section 3.4: rows times sqrt(d_model)."""
    return embeddings[ids] * np.sqrt(embeddings.shape[1])


def project(x: Array, embeddings: Array) -> Array:
    """The tied projection before the softmax: [B, T, D] -> [B, T, V]."""
    return x @ embeddings.T


def padding_mask(ids: Array) -> Array:
    """True where a key is a real token: [B, 1, S]."""
    return (ids != PAD)[:, None, :]


def causal_mask(length: int) -> Array:
    """True for a key no later than the query: [T, T]."""
    return np.tril(np.ones((length, length), dtype=bool))


def encoder_layer(x: Array, weights: EncoderLayer, may_attend: Array, normalization: str) -> Array:
    """Self-attention, then feed-forward."""
    first, second = weights.norms
    x = residual(x, lambda y: multi_head_attention(y, y, weights.self_attention, may_attend), first, normalization)
    return residual(x, lambda y: feed_forward(y, weights.feed_forward), second, normalization)


def decoder_layer(
    x: Array, memory: Array | None, weights: DecoderLayer, may_attend_source: Array | None, normalization: str
) -> Array:
    """Masked self-attention, attention to the encoder (in a model that has one), feed-forward."""
    first, *others, last = weights.norms
    may_attend = causal_mask(x.shape[1])
    x = residual(x, lambda y: multi_head_attention(y, y, weights.self_attention, may_attend), first, normalization)
    if (attention := weights.cross_attention) is not None:
        (second,) = others
        x = residual(x, lambda y: multi_head_attention(y, memory, attention, may_attend_source), second, normalization)
    return residual(x, lambda y: feed_forward(y, weights.feed_forward), last, normalization)


def encoder(x: Array, stack: Stack, may_attend: Array) -> Array:
    """Applies the encoder's stack, and the final normalisation if there is one."""
    for layer in stack.layers:
        x = encoder_layer(x, layer, may_attend, stack.normalization)
    return x if stack.final_norm is None else layer_norm(x, stack.final_norm)


def decoder(x: Array, memory: Array | None, stack: Stack, may_attend_source: Array | None) -> Array:
    """Applies the decoder's stack, and the final normalisation if there is one."""
    for layer in stack.layers:
        x = decoder_layer(x, memory, layer, may_attend_source, stack.normalization)
    return x if stack.final_norm is None else layer_norm(x, stack.final_norm)


def transformer(source: Array, target: Array, weights: Transformer) -> Array:
    """Computes logits [B, T, V] from source ids [B, S] and target ids [B, T] after BOS."""
    width = weights.embeddings.shape[1]
    may_attend = padding_mask(source)
    x = embed(source, weights.embeddings) + sinusoids(range(source.shape[1]), width)
    memory = encoder(x, weights.encoder, may_attend)
    y = embed(target, weights.embeddings) + sinusoids(range(target.shape[1]), width)
    return project(decoder(y, memory, weights.decoder, may_attend), weights.embeddings)


def language_model(target: Array, weights: LanguageModel) -> Array:
    """Computes logits [B, T, V] from ids [B, T], BOS in front."""
    x = embed(target, weights.embeddings) + sinusoids(range(target.shape[1]), weights.embeddings.shape[1])
    return project(decoder(x, None, weights.decoder, None), weights.embeddings)


def label_smoothed_cross_entropy(logits: Array, labels: Array, smoothing: float) -> float:
    """Section 5.4: the mean over real tokens of -sum q log p, with q = (1 - smoothing) one-hot + smoothing / V."""
    pieces = logits.shape[-1]
    wanted = (1 - smoothing) * np.eye(pieces)[labels] + smoothing / pieces
    losses = -(wanted * np.log(softmax(logits))).sum(-1)
    real = labels != PAD
    return float(losses[real].sum() / real.sum())


# The rest reads the weights of `layers`; only this part depends on their names and on which are fused.


def named_weights(layer: Any) -> dict[str, Array]:
    """Returns a built Keras layer's weights in float64, by their path below that layer."""
    return {weight.path.split("/", 1)[1]: np.asarray(weight, dtype=np.float64) for weight in layer.weights}


def below(named: Named, prefix: str) -> dict[str, Array]:
    """Returns the weights whose path starts with `prefix`/, by the rest of the path."""
    return {path[len(prefix) + 1 :]: array for path, array in named.items() if path.startswith(f"{prefix}/")}


def self_attention_weights(named: Named, heads: int) -> Attention:
    """Un-fuses [D, 3 D]: the queries of all heads, then the keys, then the values."""
    query, key, value = np.split(named["query_key_value/kernel"], 3, axis=1)
    return attention_weights(query, key, value, named, heads)


def cross_attention_weights(named: Named, heads: int) -> Attention:
    """Un-fuses [D, 2 D]: the keys of all heads, then the values."""
    key, value = np.split(named["key_value/kernel"], 2, axis=1)
    return attention_weights(named["query/kernel"], key, value, named, heads)


def attention_weights(query: Array, key: Array, value: Array, named: Named, heads: int) -> Attention:
    """Splits three [D, D] matrices into the matrices of each head."""
    per_head = [np.split(matrix, heads, axis=1) for matrix in (query, key, value)]
    return Attention(*per_head, output=named["output_projection/kernel"])


def feed_forward_weights(named: Named) -> FeedForward:
    """W1, b1, W2, b2."""
    return FeedForward(named["inner/kernel"], named["inner/bias"], named["outer/kernel"], named["outer/bias"])


def norm_weights(named: Named) -> Norm:
    """Gain and bias."""
    return Norm(named["gamma"], named["beta"])


def encoder_layer_weights(named: Named, heads: int) -> EncoderLayer:
    """The weights of a `layers.encoder.EncoderLayer`."""
    return EncoderLayer(
        self_attention_weights(below(named, "self_attention"), heads),
        feed_forward_weights(below(named, "feed_forward")),
        [norm_weights(below(named, f"{name}_residual/norm")) for name in ("self_attention", "feed_forward")],
    )


def decoder_layer_weights(named: Named, heads: int) -> DecoderLayer:
    """The weights of a `layers.decoder.DecoderLayer`."""
    cross = below(named, "cross_attention")
    sublayers = ("self_attention", *(["cross_attention"] if cross else []), "feed_forward")
    return DecoderLayer(
        self_attention_weights(below(named, "self_attention"), heads),
        cross_attention_weights(cross, heads) if cross else None,
        feed_forward_weights(below(named, "feed_forward")),
        [norm_weights(below(named, f"{name}_residual/norm")) for name in sublayers],
    )


def stack_weights(named: Named, heads: int, layer_weights: Callable[[Named, int], Any]) -> Stack:
    """The weights of a `layers.encoder.Encoder` or `layers.decoder.Decoder`."""
    depth = len({path.split("/")[0] for path in named if path.startswith("layer_")})
    final = below(named, "final_norm")
    return Stack(
        [layer_weights(below(named, f"layer_{i}"), heads) for i in range(depth)],
        norm_weights(final) if final else None,
    )


def transformer_weights(named: Named, heads: int) -> Transformer:
    """The weights of a `layers.Transformer`."""
    return Transformer(
        named["embedding/embeddings"],
        stack_weights(below(named, "encoder"), heads, encoder_layer_weights),
        stack_weights(below(named, "decoder"), heads, decoder_layer_weights),
    )


def language_model_weights(named: Named, heads: int) -> LanguageModel:
    """The weights of a `layers.LanguageModel`."""
    return LanguageModel(
        named["embedding/embeddings"], stack_weights(below(named, "decoder"), heads, decoder_layer_weights)
    )
