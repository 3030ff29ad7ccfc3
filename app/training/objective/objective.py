"""The training objective: label-smoothed cross entropy over the real target tokens.

The tokens are divided into chunks. The logits are computed for one chunk at a time, and the loss and the gradient of
this chunk are computed while its logits are in the CPU cache. The logits of a whole batch are never in memory together.
Label smoothing: Vaswani et al. 2017, section 5.4; Szegedy et al. 2016.

With R-Drop (Liang et al. 2021), each token is predicted twice, under two dropout masks, and the divergence between the
two predictions is added to the loss. With loss weights, the loss of each token is multiplied by the token's weight.

If the model copies (`TokenCopies`), the cross entropy is that of the mixture. R-Drop compares only what the model
generates, not what it copies.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.training.objective.copying import CopyTerms, TokenCopies, copy_gradients, copy_terms, copying_error
from keras_nmt.app.training.objective.divergence import symmetric_divergence
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

CHUNK_TOKENS = 512  # 512 float32 rows of 8,000 logits are 16 MB: they stay in a last-level cache

Gradient = Callable[..., tuple[tf.Tensor, ...]]  # of the first sum -> of states, table, log_gate and log_copied


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
    """The results of a chunk of n tokens."""

    sums: tf.Tensor  # `TokenSums` as [3]
    gradients: Sequence[tf.Tensor]  # d loss / d states [n, P, D]; if the model copies, also of log_gate and log_copied
    table_gradient: tf.Tensor  # d loss / d table [V, D]


class TokenChunk(NamedTuple):
    """A chunk of n tokens."""

    states: tf.Tensor  # [n, P, D] of P passes
    labels: tf.Tensor  # int32 [n]
    weights: tf.Tensor  # float32 [n], 0 for PAD
    copies: TokenCopies | tuple[()]  # () if the model does not copy


class Regularization(NamedTuple):
    """The label smoothing e and the weight of R-Drop's divergence."""

    smoothing: float
    r_drop: float


def token_objective(
    states: tf.Tensor,
    table: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
    copies: TokenCopies | tuple[()] = (),
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
        copies: What may be copied at each token; () if the model does not copy.
        smoothing: The label smoothing e, in [0, 1).
        r_drop: The weight of the divergence between two passes, at least 0; unused with one pass.

    Returns:
        The sums; all are 0 if N is 0.
    """

    @tf.custom_gradient
    def sums(table: tf.Tensor, states: tf.Tensor, *copied: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Gradient]:
        compute_table = tf.cast(table, states.dtype)
        watched = copies._replace(log_gate=copied[0], log_copied=copied[1]) if copies else ()
        chunks = _in_chunks(states, labels, weights, watched)
        total = _over_chunks(chunks, compute_table, Regularization(smoothing, r_drop))

        def gradient(upstream: tf.Tensor, *_: tf.Tensor) -> tuple[tf.Tensor, ...]:
            scale = tf.cast(upstream, tf.float32)
            gradients = (total.table_gradient, *(_whole(own, tf.shape(states)[0]) for own in total.gradients))
            both = zip(gradients, (table, states, *copied), strict=True)
            return tuple(tf.cast(tf.cast(own, tf.float32) * scale, of.dtype) for own, of in both)

        return tuple(tf.unstack(total.sums)), gradient

    return TokenSums(*sums(table, states, *copies[:2]))


def evaluated_objective(
    states: tf.Tensor,
    table: tf.Tensor,
    labels: tf.Tensor,
    weights: tf.Tensor | None = None,
    copies: TokenCopies | tuple[()] = (),
    *,
    smoothing: float,
) -> TokenSums:
    """Computes the sums of `token_objective` for one pass, without the products needed only for a gradient."""
    compute_table = tf.cast(table, states.dtype)
    chunks = _in_chunks(states, labels, weights, copies)
    mean_row = _mean_row(compute_table)
    options = Regularization(smoothing, r_drop=0.0)

    def body(i: tf.Tensor, sums: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        predicted = _predict(_chunk_of(chunks, i), compute_table)
        return i + 1, sums + _sums(predicted, mean_row, options)

    _, sums = tf.while_loop(
        lambda i, _: i < tf.shape(chunks.labels)[0], body, (tf.constant(0), tf.zeros(3)), parallel_iterations=1
    )
    return TokenSums(*tf.unstack(sums))


def _in_chunks(
    states: tf.Tensor, labels: tf.Tensor, weights: tf.Tensor | None, copies: TokenCopies | tuple[()]
) -> TokenChunk:
    """Splits the tokens into C chunks of n tokens; each field becomes [C, n, ...]. Pads the last chunk with PAD."""
    tokens, passes = tf.shape(states)[0], states.shape[1]
    chunks = tf.maximum(1, -(-tokens * passes // CHUNK_TOKENS))
    chunk_tokens = -(-tokens // chunks)
    missing = chunks * chunk_tokens - tokens
    token_weights = tf.cast(labels != PAD, tf.float32) * (1.0 if weights is None else weights)

    def split(values: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(values, [[0, missing], *[[0, 0]] * (len(values.shape) - 1)])  # PAD is 0
        return tf.reshape(padded, [chunks, chunk_tokens, *tf.unstack(tf.shape(values))[1:]])

    found: TokenChunk = tf.nest.map_structure(split, TokenChunk(states, labels, token_weights, copies))
    return found


def _whole(chunks: tf.Tensor, tokens: tf.Tensor) -> tf.Tensor:
    """Joins the chunks of values, [C, n, ...] -> [N, ...], without the padding after N = `tokens` tokens."""
    return tf.reshape(chunks, [-1, *tf.unstack(tf.shape(chunks))[2:]])[:tokens]


def _chunk_of(chunks: TokenChunk, i: tf.Tensor) -> TokenChunk:
    chunk: TokenChunk = tf.nest.map_structure(lambda field: field[i], chunks)
    return chunk


def _mean_row(table: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the table's rows, float32 [D]. Its product with a state is the mean of the state's logits."""
    return tf.reduce_mean(tf.cast(table, tf.float32), axis=0)


def _over_chunks(tokens: TokenChunk, table: tf.Tensor, options: Regularization) -> Chunk:
    """Computes the results of all C chunks and combines them.

    The sums and the table gradients of the chunks are added up, the table gradients in float32. The other gradients
    remain divided into chunks, [C, n, ...].
    """
    chunks = tf.shape(tokens.labels)[0]
    mean_row = _mean_row(table)

    def body(
        i: tf.Tensor, sums: tf.Tensor, gradients: Sequence[tf.TensorArray], table_gradient: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, Sequence[tf.TensorArray], tf.Tensor]:
        chunk = _chunk(_chunk_of(tokens, i), table, mean_row, options)
        return (
            i + 1,
            sums + chunk.sums,
            [array.write(i, own) for array, own in zip(gradients, chunk.gradients, strict=True)],
            table_gradient + tf.cast(chunk.table_gradient, tf.float32),
        )

    arrays = [
        tf.TensorArray(values.dtype, size=chunks, element_shape=values.shape[1:])
        for values in (tokens.states, *tokens.copies[:2])
    ]
    _, sums, gradients, table_gradient = tf.while_loop(
        lambda i, *_: i < chunks,
        body,
        (tf.constant(0), tf.zeros(3), arrays, tf.zeros_like(table, tf.float32)),
        parallel_iterations=1,
    )
    # Smoothing adds a term of rank one to the table's gradient.
    mean_states = tf.cast(tf.reduce_mean(tokens.states, axis=2), tf.float32)
    sum_of_states = tf.reduce_sum(tokens.weights[:, :, None] * mean_states, axis=[0, 1])  # [D]
    table_gradient -= options.smoothing / table.shape[0] * sum_of_states
    return Chunk(sums, [array.stack() for array in gradients], table_gradient)


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
    copies: CopyTerms | None

    @property
    def at_label(self) -> tf.Tensor:
        """The indices of the labels' logits in `logits`, int32 [m, 2]."""
        return tf.stack([tf.range(tf.size(self.labels)), self.labels], axis=1)

    def gain_weights(self, smoothing: float) -> tf.Tensor:
        """Returns the factors of the gains of copying in the loss: float32 [m, S]."""
        assert self.copies
        return self.copies.loss_weights(self.labels, smoothing, self.logits.shape[1])


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
    copies = copy_terms(tokens.copies, logits, logsumexp) if tokens.copies else None
    return Predicted(states, labels, weights, passes, logits, probabilities, largest, logsumexp, copies)


def _sums(predicted: Predicted, mean_row: tf.Tensor, options: Regularization) -> tf.Tensor:
    """Computes the three sums of `TokenSums`, float32 [3]. The loss does not include R-Drop's divergence yet."""
    label_logit = tf.gather_nd(predicted.logits, predicted.at_label)
    mean = tf.linalg.matvec(tf.cast(predicted.states, tf.float32), mean_row)
    weights, logsumexp, copies = predicted.weights, predicted.logsumexp, predicted.copies
    losses = logsumexp - (1.0 - options.smoothing) * label_logit - options.smoothing * mean
    cross_entropies, is_correct = logsumexp - label_logit, label_logit >= predicted.largest
    if copies:
        losses -= copies.log_gate + tf.reduce_sum(predicted.gain_weights(options.smoothing) * copies.gains, axis=1)
        at_label = copies.of_labels(predicted.labels, -cross_entropies)
        cross_entropies, is_correct = -at_label, at_label >= copies.largest(predicted.largest - logsumexp)
    every = tf.stack([losses, cross_entropies, tf.cast(is_correct, tf.float32)])
    return tf.reduce_sum(weights * every, axis=1) / predicted.passes


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
    of_copies: Sequence[tf.Tensor] = ()
    if predicted.copies and tokens.copies:
        pulled = predicted.gain_weights(options.smoothing) * predicted.copies.shares
        error = copying_error(predicted.copies, error, predicted.probabilities, pulled)
        of_copies = copy_gradients(tokens.copies, pulled, predicted.weights / passes)
    if passes == 2:
        log_probabilities = predicted.logits - predicted.logsumexp[:, None]
        divergence, divergence_error = symmetric_divergence(log_probabilities, predicted.probabilities)
        sums += tf.stack([options.r_drop / 4 * tf.reduce_sum(predicted.weights[::2] * divergence), 0.0, 0.0])
        error = (error + options.r_drop / 2 * divergence_error) / 2
    error = tf.cast(error, states.dtype)
    weights = predicted.weights[:, None]
    row_gradients = tf.cast(tf.matmul(error, table), tf.float32) - options.smoothing / passes * mean_row
    states_gradient = tf.reshape(tf.cast(weights * row_gradients, states.dtype), tf.shape(tokens.states))
    table_gradient = tf.matmul(error, tf.cast(weights, states.dtype) * states, transpose_a=True)
    return Chunk(sums, [states_gradient, *of_copies], table_gradient)
