"""The training objective: label-smoothed cross entropy over the real target tokens.

Logits are made a chunk of tokens at a time, and a chunk's loss and gradient are taken in one pass while its logits are
in cache; the logits of a whole batch never exist. Vaswani et al. 2017, section 5.4; Szegedy et al. 2016.

With R-Drop (Liang et al. 2021) each token is predicted twice, under two dropout masks, and the divergence between the
two predictions is part of the loss. Where the data has loss weights, a token counts as often as its weight says.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from pipelines.vocabulary.tokenizer import PAD

CHUNK_TOKENS = 512  # 512 float32 rows of 8,000 logits are 16 MB: they stay in a last-level cache


class TokenSums(NamedTuple):
    """Sums over the real target tokens of a batch, float32 scalars; with several passes, the means of the passes.

    With loss weights each token is multiplied by its weight, in all of them.

    Attributes:
        loss: Of the label-smoothed cross entropy and R-Drop's divergence, in nats. The only one with a gradient.
        cross_entropy: Of the plain cross entropy, in nats; perplexity is exp of its mean.
        correct: How many tokens the model puts first.
    """

    loss: tf.Tensor
    cross_entropy: tf.Tensor
    correct: tf.Tensor


class Chunk(NamedTuple):
    """What a chunk of n tokens adds: sums [3], and d loss / d of its states [n, P, D] and of the table [V, D]."""

    sums: tf.Tensor
    states_gradient: tf.Tensor
    table_gradient: tf.Tensor


class Tokens(NamedTuple):
    """A chunk of n tokens: states [n, P, D], labels [n], and how much each counts, float32 [n], 0 for PAD."""

    states: tf.Tensor
    labels: tf.Tensor
    counts: tf.Tensor


class Regularisation(NamedTuple):
    """The share e of label smoothing and the weight of R-Drop's divergence."""

    smoothing: float
    r_drop: float


def token_objective(
    states: tf.Tensor,
    table: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
    *,
    smoothing: float,
    r_drop: float = 0.0,
) -> TokenSums:
    """Sums the loss of predicting each label from its states.

    With smoothing e the target distribution is 1 - e on the label plus e / V on every piece. With z = logits:
    loss = logsumexp(z) - (1 - e) z[label] - e mean(z). Two passes p and q add r_drop / 4 (KL(p||q) + KL(q||p)) to the
    mean of their losses, which is half of Liang et al.'s Eq. 4.

    Args:
        states: The decoder's output, [N, P, D] in the compute dtype; P passes, 1 or 2.
        table: The tied projection, float32 [V, D]; its products are of the states' dtype.
        labels: int32 [N]; a token whose label is PAD counts for nothing.
        weights: float32 [N], of the tokens; 1 each where left out.
        smoothing: e, in [0, 1).
        r_drop: The weight of the divergence between two passes, at least 0; unused with one pass.

    Returns:
        The sums; all zero when N is 0.
    """

    @tf.custom_gradient
    def sums(states: tf.Tensor, table: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Any]:
        compute_table = tf.cast(table, states.dtype)
        total = _over_chunks(states, compute_table, labels, weights, Regularisation(smoothing, r_drop))

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            scale = tf.cast(upstream, tf.float32)
            return (
                tf.cast(tf.cast(total.states_gradient, tf.float32) * scale, states.dtype),
                tf.cast(total.table_gradient * scale, table.dtype),
            )

        return tuple(tf.unstack(total.sums)), gradient

    return TokenSums(*sums(states, table))


def evaluated_objective(
    states: tf.Tensor,
    table: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
    *,
    smoothing: float,
) -> TokenSums:
    """Returns the sums of `token_objective` for one pass, without the products that only a gradient needs."""
    compute_table = tf.cast(table, states.dtype)
    chunks = _in_chunks(states, labels, weights)
    mean_row = _mean_row(compute_table)
    by = Regularisation(smoothing, r_drop=0.0)

    def body(i: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        predicted = _predict(_chunk_of(chunks, i), compute_table)
        return i + 1, sums + _sums(predicted, mean_row, by)

    _, sums = tf.while_loop(
        lambda i, _: i < tf.shape(chunks.labels)[0], body, (tf.constant(0), tf.zeros(3)), parallel_iterations=1
    )
    return TokenSums(*tf.unstack(sums))


def _in_chunks(states: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None) -> Tokens:
    """Cuts tokens into C chunks of equal size n, the last filled up with PAD: each field is [C, n, ...]."""
    tokens, (passes, width) = tf.shape(states)[0], states.shape[1:]
    chunks = tf.maximum(1, -(-tokens * passes // CHUNK_TOKENS))
    chunk_tokens = -(-tokens // chunks)
    missing = chunks * chunk_tokens - tokens
    counts = tf.cast(labels != PAD, tf.float32) * (1.0 if weights is None else weights)
    return Tokens(
        states=tf.reshape(tf.pad(states, [[0, missing], [0, 0], [0, 0]]), [chunks, chunk_tokens, passes, width]),
        labels=tf.reshape(tf.pad(labels, [[0, missing]], constant_values=PAD), [chunks, chunk_tokens]),
        counts=tf.reshape(tf.pad(counts, [[0, missing]]), [chunks, chunk_tokens]),
    )


def _chunk_of(chunks: Tokens, i: tf.Tensor) -> Tokens:
    return Tokens(*(field[i] for field in chunks))


def _mean_row(table: tf.Tensor) -> tf.Tensor:
    """The mean of the table's rows, float32 [D]; its product with a state is mean(z)."""
    return tf.reduce_mean(tf.cast(table, tf.float32), axis=0)


def _over_chunks(
    states: tf.Tensor, table: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None, by: Regularisation
) -> Chunk:
    """Sums over all chunks; the gradient of the table is summed in float32."""
    tokens, (passes, width) = tf.shape(states)[0], states.shape[1:]
    all_tokens = _in_chunks(states, labels, weights)
    chunks = tf.shape(all_tokens.labels)[0]
    mean_row = _mean_row(table)

    def body(
        i: tf.Tensor, sums: tf.Tensor, gradients: tf.TensorArray, table_gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
        chunk = _chunk(_chunk_of(all_tokens, i), table, mean_row, by)
        return (
            i + 1,
            sums + chunk.sums,
            gradients.write(i, chunk.states_gradient),
            table_gradient + tf.cast(chunk.table_gradient, tf.float32),
        )

    _, sums, gradients, table_gradient = tf.while_loop(
        lambda i, *_: i < chunks,
        body,
        (
            tf.constant(0),
            tf.zeros(3),
            tf.TensorArray(states.dtype, size=chunks, element_shape=[None, passes, width]),
            tf.zeros_like(table, tf.float32),
        ),
        parallel_iterations=1,
    )
    # What smoothing adds to the table's gradient is of rank one.
    mean_states = tf.cast(tf.reduce_mean(all_tokens.states, axis=2), tf.float32)
    sum_of_states = tf.reduce_sum(all_tokens.counts[:, :, None] * mean_states, axis=[0, 1])  # [D]
    table_gradient -= by.smoothing / table.shape[0] * sum_of_states
    return Chunk(sums, tf.reshape(gradients.stack(), [-1, passes, width])[:tokens], table_gradient)


class Predicted(NamedTuple):
    """What the model says of a chunk: P passes of n tokens are m = n P rows, those of a token adjacent."""

    states: tf.Tensor  # [m, D] in the compute dtype
    labels: tf.Tensor  # int32 [m]
    counts: tf.Tensor  # float32 [m]
    passes: int
    logits: tf.Tensor  # float32 [m, V]
    probabilities: tf.Tensor  # float32 [m, V]
    largest: tf.Tensor  # float32 [m], of the logits
    logsumexp: tf.Tensor  # float32 [m]

    @property
    def at_label(self) -> tf.Tensor:
        """int32 [m, 2]: where the labels' logits stand."""
        return tf.stack([tf.range(tf.size(self.labels)), self.labels], axis=1)


def _predict(tokens: Tokens, table: tf.Tensor) -> Predicted:
    """The logits and probabilities of a chunk."""
    passes, width = tokens.states.shape[1:]
    states = tf.reshape(tokens.states, [-1, width])
    labels, counts = (tf.repeat(values, passes) for values in (tokens.labels, tokens.counts))
    logits = tf.cast(tf.matmul(states, table, transpose_b=True), tf.float32)
    # Softmax is a fused kernel, logsumexp is not; the largest probability is far from underflow.
    probabilities = tf.nn.softmax(logits)
    largest = tf.reduce_max(logits, axis=-1)
    logsumexp = largest - tf.math.log(tf.reduce_max(probabilities, axis=-1))
    return Predicted(states, labels, counts, passes, logits, probabilities, largest, logsumexp)


def _sums(predicted: Predicted, mean_row: tf.Tensor, by: Regularisation) -> tf.Tensor:
    """Float32 [3], the fields of `TokenSums`, without R-Drop's divergence."""
    of_label = tf.gather_nd(predicted.logits, predicted.at_label)
    mean = tf.linalg.matvec(tf.cast(predicted.states, tf.float32), mean_row)
    counts, logsumexp = predicted.counts, predicted.logsumexp
    loss = tf.reduce_sum(counts * (logsumexp - (1.0 - by.smoothing) * of_label - by.smoothing * mean))
    cross_entropy = tf.reduce_sum(counts * (logsumexp - of_label))
    correct = tf.reduce_sum(counts * tf.cast(of_label >= predicted.largest, tf.float32))
    return tf.stack([loss, cross_entropy, correct]) / predicted.passes


def _chunk(tokens: Tokens, table: tf.Tensor, mean_row: tf.Tensor, by: Regularisation) -> Chunk:
    """The sums and gradients of one chunk, but for what smoothing adds to the table's gradient.

    d loss / dz = softmax(z) - (1 - e) onehot - e/V. The last term is of rank one, so it goes to the states through the
    mean row and to the table in `_over_chunks`.
    """
    predicted = _predict(tokens, table)
    sums, x, passes = _sums(predicted, mean_row, by), predicted.states, predicted.passes
    of_label = tf.fill(tf.shape(predicted.labels), 1.0 - by.smoothing)
    error = tf.tensor_scatter_nd_sub(predicted.probabilities, predicted.at_label, of_label)
    if passes == 2:
        log_probabilities = predicted.logits - predicted.logsumexp[:, None]
        divergence, divergence_error = _symmetric_divergence(log_probabilities, predicted.probabilities)
        sums += tf.stack([by.r_drop / 4 * tf.reduce_sum(predicted.counts[::2] * divergence), 0.0, 0.0])
        error = (error + by.r_drop / 2 * divergence_error) / 2
    error = tf.cast(error, x.dtype)
    counts = predicted.counts[:, None]
    x_gradient = tf.cast(tf.matmul(error, table), tf.float32) - by.smoothing / passes * mean_row
    states_gradient = tf.reshape(tf.cast(counts * x_gradient, x.dtype), tf.shape(tokens.states))
    return Chunk(sums, states_gradient, tf.matmul(error, tf.cast(counts, x.dtype) * x, transpose_a=True))


def _symmetric_divergence(log_probabilities: tf.Tensor, probabilities: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """KL(p||q) + KL(q||p) of each token [n] and its gradient with respect to the logits; [2n, V], p and q in turn.

    With a = log p - log q: d / d logits of p = p (a - KL(p||q)) + p - q, and the same for q with p and q exchanged.
    """
    pairs = [-1, 2, probabilities.shape[-1]]
    log_p, log_q = tf.unstack(tf.reshape(log_probabilities, pairs), axis=1)  # [n, V] each
    p, q = tf.unstack(tf.reshape(probabilities, pairs), axis=1)
    a = log_p - log_q
    p_from_q = tf.reduce_sum(p * a, axis=-1, keepdims=True)
    q_from_p = -tf.reduce_sum(q * a, axis=-1, keepdims=True)
    gradient = tf.stack([p * (a - p_from_q + 1.0) - q, q * (1.0 - a - q_from_p) - p], axis=1)
    return (p_from_q + q_from_p)[:, 0], tf.reshape(gradient, tf.shape(probabilities))
