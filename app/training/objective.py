"""The training objective: label-smoothed cross entropy over the real target tokens.

The tokens are divided into chunks. The logits are computed for one chunk at a time, and the loss and the gradient of
this chunk are computed while its logits are in the CPU cache. The logits of a whole batch are never in memory together.
Label smoothing: Vaswani et al. 2017, section 5.4; Szegedy et al. 2016.

With R-Drop (Liang et al. 2021), each token is predicted twice, under two dropout masks, and the divergence between the
two predictions is added to the loss. With loss weights, the loss of each token is multiplied by the token's weight.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.pipelines.vocabulary.tokenizer import PAD

CHUNK_TOKENS = 512  # 512 float32 rows of 8,000 logits are 16 MB: they stay in a last-level cache

Gradient = Callable[..., tuple[tf.Tensor, tf.Tensor]]  # of the first sum -> of the states and of the table


class TokenSums(NamedTuple):
    """Sums over the real target tokens of a batch, float32 scalars.

    With R-Drop, the decoder runs twice, and each value is the mean of the sums of both passes. With loss weights, the
    term of each token is multiplied by the token's weight in every sum.

    Attributes:
        loss: The label-smoothed cross entropy plus R-Drop's divergence, in nats. Only this sum has a gradient.
        cross_entropy: The cross entropy without smoothing, in nats. Perplexity is exp of its mean over the tokens.
        correct: The number of labels to which the model gives the highest probability.
    """

    loss: tf.Tensor
    cross_entropy: tf.Tensor
    correct: tf.Tensor


class Chunk(NamedTuple):
    """The results of a chunk of n tokens: `TokenSums` as [3], d loss / d states [n, P, D], d loss / d table [V, D]."""

    sums: tf.Tensor
    states_gradient: tf.Tensor
    table_gradient: tf.Tensor


class TokenChunk(NamedTuple):
    """A chunk of n tokens: states [n, P, D] of P passes, labels [n], and weights, float32 [n], which are 0 for PAD."""

    states: tf.Tensor
    labels: tf.Tensor
    weights: tf.Tensor


class Regularization(NamedTuple):
    """The label smoothing e and the weight of R-Drop's divergence."""

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
    """Computes the loss of predicting each label from its decoder state.

    With label smoothing e, the target distribution has probability 1 - e + e / V at the label and e / V at every other
    piece. With logits z, loss = logsumexp(z) - (1 - e) z[label] - e mean(z). With two passes, whose predictions are p
    and q, the loss is the mean of both losses plus r_drop / 4 (KL(p||q) + KL(q||p)). This loss is half of Eq. 4 of
    Liang et al.

    Args:
        states: The decoder's output of P = 1 or 2 passes, [N, P, D] in the compute dtype.
        table: The tied projection, float32 [V, D]; products are computed in the states' dtype.
        labels: The label of each token, int32 [N]; tokens with the label PAD are ignored.
        weights: The tokens' loss weights, float32 [N]; None for a weight of 1 for each token.
        smoothing: The label smoothing e, in [0, 1).
        r_drop: The weight of the divergence between two passes, at least 0; unused with one pass.

    Returns:
        The sums; all are 0 if N is 0.
    """

    @tf.custom_gradient
    def sums(states: tf.Tensor, table: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Gradient]:
        compute_table = tf.cast(table, states.dtype)
        total = _over_chunks(states, compute_table, labels, weights, Regularization(smoothing, r_drop))

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
    """Computes the sums of `token_objective` for one pass, without the products needed only for a gradient."""
    compute_table = tf.cast(table, states.dtype)
    chunks = _in_chunks(states, labels, weights)
    mean_row = _mean_row(compute_table)
    options = Regularization(smoothing, r_drop=0.0)

    def body(i: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        predicted = _predict(_chunk_of(chunks, i), compute_table)
        return i + 1, sums + _sums(predicted, mean_row, options)

    _, sums = tf.while_loop(
        lambda i, _: i < tf.shape(chunks.labels)[0], body, (tf.constant(0), tf.zeros(3)), parallel_iterations=1
    )
    return TokenSums(*tf.unstack(sums))


def _in_chunks(states: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None) -> TokenChunk:
    """Splits the tokens into C chunks of n tokens; each field becomes [C, n, ...]. Pads the last chunk with PAD."""
    tokens, (passes, width) = tf.shape(states)[0], states.shape[1:]
    chunks = tf.maximum(1, -(-tokens * passes // CHUNK_TOKENS))
    chunk_tokens = -(-tokens // chunks)
    missing = chunks * chunk_tokens - tokens
    token_weights = tf.cast(labels != PAD, tf.float32) * (1.0 if weights is None else weights)
    return TokenChunk(
        states=tf.reshape(tf.pad(states, [[0, missing], [0, 0], [0, 0]]), [chunks, chunk_tokens, passes, width]),
        labels=tf.reshape(tf.pad(labels, [[0, missing]], constant_values=PAD), [chunks, chunk_tokens]),
        weights=tf.reshape(tf.pad(token_weights, [[0, missing]]), [chunks, chunk_tokens]),
    )


def _chunk_of(chunks: TokenChunk, i: tf.Tensor) -> TokenChunk:
    return TokenChunk(*(field[i] for field in chunks))


def _mean_row(table: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the table's rows, float32 [D]. Its product with a state is the mean of the state's logits."""
    return tf.reduce_mean(tf.cast(table, tf.float32), axis=0)


def _over_chunks(
    states: tf.Tensor, table: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None, options: Regularization
) -> Chunk:
    """Computes the results of all chunks and combines them.

    The sums and the table gradients of the chunks are added up, the table gradients in float32. The gradients of the
    states are concatenated.
    """
    tokens, (passes, width) = tf.shape(states)[0], states.shape[1:]
    all_tokens = _in_chunks(states, labels, weights)
    chunks = tf.shape(all_tokens.labels)[0]
    mean_row = _mean_row(table)

    def body(
        i: tf.Tensor, sums: tf.Tensor, gradients: tf.TensorArray, table_gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.TensorArray, tf.Tensor]:
        chunk = _chunk(_chunk_of(all_tokens, i), table, mean_row, options)
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
    # Smoothing adds a term of rank one to the table's gradient.
    mean_states = tf.cast(tf.reduce_mean(all_tokens.states, axis=2), tf.float32)
    sum_of_states = tf.reduce_sum(all_tokens.weights[:, :, None] * mean_states, axis=[0, 1])  # [D]
    table_gradient -= options.smoothing / table.shape[0] * sum_of_states
    return Chunk(sums, tf.reshape(gradients.stack(), [-1, passes, width])[:tokens], table_gradient)


class Predicted(NamedTuple):
    """The model's predictions for a chunk of n tokens.

    The decoder ran P times (twice with R-Drop, else once), so there are m = n * P rows. The P rows of a token are
    adjacent.
    """

    states: tf.Tensor  # [m, D] in the compute dtype
    labels: tf.Tensor  # int32 [m]
    weights: tf.Tensor  # float32 [m]
    passes: int
    logits: tf.Tensor  # float32 [m, V]
    probabilities: tf.Tensor  # float32 [m, V]
    largest: tf.Tensor  # float32 [m], the largest logit of each row
    logsumexp: tf.Tensor  # float32 [m]

    @property
    def at_label(self) -> tf.Tensor:
        """The indices of the labels' logits in `logits`, int32 [m, 2]."""
        return tf.stack([tf.range(tf.size(self.labels)), self.labels], axis=1)


def _predict(tokens: TokenChunk, table: tf.Tensor) -> Predicted:
    """Computes the logits and probabilities of a chunk."""
    passes, width = tokens.states.shape[1:]
    states = tf.reshape(tokens.states, [-1, width])
    labels, weights = (tf.repeat(values, passes) for values in (tokens.labels, tokens.weights))
    logits = tf.cast(tf.matmul(states, table, transpose_b=True), tf.float32)
    # Softmax is one fused kernel, logsumexp is not. So logsumexp is computed from the largest probability, which is at
    # least 1 / V and cannot underflow.
    probabilities = tf.nn.softmax(logits)
    largest = tf.reduce_max(logits, axis=-1)
    logsumexp = largest - tf.math.log(tf.reduce_max(probabilities, axis=-1))
    return Predicted(states, labels, weights, passes, logits, probabilities, largest, logsumexp)


def _sums(predicted: Predicted, mean_row: tf.Tensor, options: Regularization) -> tf.Tensor:
    """Computes the three sums of `TokenSums`, float32 [3]. The loss does not include R-Drop's divergence yet."""
    label_logit = tf.gather_nd(predicted.logits, predicted.at_label)
    mean = tf.linalg.matvec(tf.cast(predicted.states, tf.float32), mean_row)
    weights, logsumexp = predicted.weights, predicted.logsumexp
    loss = tf.reduce_sum(weights * (logsumexp - (1.0 - options.smoothing) * label_logit - options.smoothing * mean))
    cross_entropy = tf.reduce_sum(weights * (logsumexp - label_logit))
    correct = tf.reduce_sum(weights * tf.cast(label_logit >= predicted.largest, tf.float32))
    return tf.stack([loss, cross_entropy, correct]) / predicted.passes


def _chunk(tokens: TokenChunk, table: tf.Tensor, mean_row: tf.Tensor, options: Regularization) -> Chunk:
    """Computes the sums and gradients of one chunk, except the term that smoothing adds to the table's gradient.

    d loss / dz = softmax(z) - (1 - e) onehot - e / V. The term - e / V is the same for all pieces. Here this term is
    added to the gradient of the states, with the help of the mean row of the table. `_over_chunks` adds the term to the
    gradient of the table.
    """
    predicted = _predict(tokens, table)
    sums, states, passes = _sums(predicted, mean_row, options), predicted.states, predicted.passes
    label_target = tf.fill(tf.shape(predicted.labels), 1.0 - options.smoothing)
    error = tf.tensor_scatter_nd_sub(predicted.probabilities, predicted.at_label, label_target)
    if passes == 2:
        log_probabilities = predicted.logits - predicted.logsumexp[:, None]
        divergence, divergence_error = _symmetric_divergence(log_probabilities, predicted.probabilities)
        sums += tf.stack([options.r_drop / 4 * tf.reduce_sum(predicted.weights[::2] * divergence), 0.0, 0.0])
        error = (error + options.r_drop / 2 * divergence_error) / 2
    error = tf.cast(error, states.dtype)
    weights = predicted.weights[:, None]
    row_gradients = tf.cast(tf.matmul(error, table), tf.float32) - options.smoothing / passes * mean_row
    states_gradient = tf.reshape(tf.cast(weights * row_gradients, states.dtype), tf.shape(tokens.states))
    return Chunk(sums, states_gradient, tf.matmul(error, tf.cast(weights, states.dtype) * states, transpose_a=True))


def _symmetric_divergence(log_probabilities: tf.Tensor, probabilities: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Computes KL(p||q) + KL(q||p) of each token, [n], and its gradient with respect to the logits, [2n, V].

    The rows of p and q alternate in the arguments and in the gradient. With a = log p - log q, the gradient with
    respect to p's logits is p (a - KL(p||q)) + p - q. For q's logits, exchange p and q in this formula.
    """
    pairs = [-1, 2, probabilities.shape[-1]]
    log_p, log_q = tf.unstack(tf.reshape(log_probabilities, pairs), axis=1)  # [n, V] each
    p, q = tf.unstack(tf.reshape(probabilities, pairs), axis=1)
    a = log_p - log_q
    p_from_q = tf.reduce_sum(p * a, axis=-1, keepdims=True)
    q_from_p = -tf.reduce_sum(q * a, axis=-1, keepdims=True)
    gradient = tf.stack([p * (a - p_from_q + 1.0) - q, q * (1.0 - a - q_from_p) - p], axis=1)
    return (p_from_q + q_from_p)[:, 0], tf.reshape(gradient, tf.shape(probabilities))
