"""The train step and Keras `fit` around it, on any number of devices.

The step is ours because three of Keras' own parts do not give the mathematics wanted here: its loss reduction takes a
mean of the replicas' means, its optimizer reduces gradients where their norm cannot be seen, and its first batch
builds the model from a mean over replicas, which fails when their shapes differ. The loop, the callbacks and the
history stay Keras'.
"""

import gc
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

import keras
import tensorflow as tf

from app.config import TrainingConfig
from app.training.objective import TokenSums, evaluated_objective, token_objective
from layers import Transformer
from layers.sublayers.dropout import shifted_seeds
from pipelines.streaming.stream import BATCH_SPEC
from pipelines.vocabulary.tokenizer import PAD


class Trainer(keras.Model):
    """A `Transformer` that learns; `fit` takes batches of the contract, divided among replicas.

    The loss of a step is the sum over real target tokens divided by their number in the *global* batch, so that the
    division of the batch among replicas and accumulated parts does not change it. Batches of data with loss weights
    bring a weight for each row, or for each target token of packed rows; then both are sums over the tokens times their
    weight, so that a pair of weight 2 counts as two pairs do.

    Args:
        settings: How it trains.
        xla: Whether each replica's forward and backward computation is compiled by XLA. For GPUs: on a CPU, XLA's
            bfloat16 products are several times slower than TensorFlow's own.

    Attributes:
        step: How many batches were read, those counted on whose update was skipped because its gradient was not finite
            and those that were passed over after a divergence; so it is the position in the data too.
    """

    train_function: Any  # Keras has it None until it is made

    def __init__(self, transformer: Transformer, settings: TrainingConfig, *, xla: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transformer = transformer
        self.settings = settings
        self.xla = xla
        self.step = 0
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Logits, as the transformer gives them."""
        return self.transformer(inputs, training=training)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Keras' `fit`; once it has ended, by an error too, nothing reads the batches any more.

        Python would wait forever, as it ends, for a thread of tf.data that wants to run Python.
        """
        try:
            return super().fit(*args, **kwargs)
        except BaseException as error:
            release_frames(error)  # they hold the iterator
            raise
        finally:
            gc.collect()  # so does a cycle that Keras makes

    def make_train_function(self, force: bool = False) -> None:
        """Makes the function that Keras' loop calls with an iterator; it returns a step's figures.

        Made once, so that a training which goes back compiles nothing anew.
        """
        if self.train_function is not None and not force:
            return
        strategy = self.distribute_strategy

        @tf.function(autograph=False)
        def step(iterator: Any) -> dict[str, tf.Tensor]:
            figures = strategy.run(self.replica_step, args=next(iterator))
            # Every replica holds the same global figures.
            return {name: strategy.experimental_local_results(value)[0] for name, value in figures.items()}

        def counted_step(iterator: Any) -> dict[str, tf.Tensor]:
            self.step += 1
            return step(iterator)

        self.train_function = counted_step

    def replica_step(self, *batch: Any) -> dict[str, tf.Tensor]:
        """Learns from one replica's part of a global batch.

        Args:
            batch: Inputs, labels and, of data with loss weights, float32 [B] or [B, T], 0 for empty rows.

        Returns:
            Of the global batch, as float32 scalars: loss and cross_entropy (nats a real target token), accuracy (these
            three by the loss weights), gradient_norm (before clipping or loss scaling), learning_rate, source_tokens
            and target_tokens (real ones, EOS among them), padding_share (of both sides), skipped (1 where the gradient
            was not finite, else 0).
        """
        replica = tf.distribute.get_replica_context()
        counts = replica.all_reduce(tf.distribute.ReduceOp.SUM, token_counts(*batch))
        total = counts["loss_weight"] if "loss_weight" in counts else counts["target_tokens"]
        total = tf.where(total > 0, total, 1.0)
        learning_rate = self.optimizer.scaled_rate()
        # Else every replica would draw the same dropout masks.
        with shifted_seeds(replica.replica_id_in_sync_group):
            compute = self.accumulated_gradients
            sums, gradients = (tf.function(compute, jit_compile=True) if self.xla else compute)(batch, total)
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, sums._asdict())
        update = self.optimizer.apply_summed(gradients, self.transformer.trainable_variables)
        return {
            "loss": sums["loss"] / total,
            "cross_entropy": sums["cross_entropy"] / total,
            "accuracy": sums["correct"] / total,
            "gradient_norm": update.gradient_norm,
            "learning_rate": learning_rate,
            "source_tokens": counts["source_tokens"],
            "target_tokens": counts["target_tokens"],
            "padding_share": 1.0 - (counts["source_tokens"] + counts["target_tokens"]) / counts["positions"],
            "skipped": 1.0 - tf.cast(update.applied, tf.float32),
        }

    def accumulated_gradients(self, batch: tuple[Any, ...], total: tf.Tensor) -> tuple[TokenSums, list[tf.Tensor]]:
        """The sums over a batch and the gradients of its (scaled) loss, computed part after part.

        Args:
            batch: As `replica_step` has it.
            total: What the loss is divided by, float32.
        """
        parts = self.settings.accumulation
        if parts == 1:
            return self.gradients(batch, total)
        inputs, *rest = batch
        batches = tf.nest.map_structure(lambda rows: split_rows(rows, parts), (dict(inputs), *rest))

        def add_part(i: tf.Tensor, *totals: Any) -> tuple[Any, ...]:
            part = tf.nest.map_structure(lambda rows: rows[i], batches)
            return i + 1, *tf.nest.map_structure(tf.add, totals, self.gradients(part, total))

        weights = self.transformer.trainable_variables
        nothing = TokenSums(*[tf.zeros([])] * 3), [tf.zeros(weight.shape) for weight in weights]
        _, sums, gradients = tf.while_loop(
            lambda i, *_: i < parts, add_part, (tf.constant(0), *nothing), parallel_iterations=1
        )
        return sums, gradients

    def gradients(self, batch: tuple[Any, ...], total: tf.Tensor) -> tuple[TokenSums, list[tf.Tensor]]:
        """As `accumulated_gradients`, at once."""
        inputs, labels, *loss_weights = batch
        weights = [weight.value for weight in self.transformer.trainable_variables]
        with tf.GradientTape() as tape:
            projection = tf.stop_gradient(self.transformer.embedding.embeddings.value)
            tape.watch(projection)
            sums = self.objective(inputs, labels, projection, *loss_weights)
            scaled_loss = self.optimizer.scale_loss(sums.loss / total)
        *gradients, of_projection = tape.gradient(scaled_loss, [*weights, projection])
        return sums, [summed_gradient(gradient, of_projection) for gradient in gradients]

    def objective(
        self,
        inputs: Mapping[str, tf.Tensor],
        labels: tf.Tensor,
        projection: tf.Tensor,
        loss_weights: tf.Tensor | None = None,
    ) -> TokenSums:
        """The loss sums of this batch's real target tokens (see `token_objective`).

        Args:
            projection: The tied embeddings, [V, D] in float32; apart, so that they may have a gradient of their own.
            loss_weights: Of the rows, float32 [B], or the tokens, [B, T]; 1 each where left out.
        """
        passes = 2 if self.settings.r_drop else 1
        inputs = {name: tf.tile(ids, [passes, 1]) for name, ids in inputs.items()} if passes > 1 else inputs
        states = self.transformer.states(inputs, training=True)  # [P B, T, D]
        states, labels, loss_weights = self.real_tokens(states, labels, loss_weights, passes)
        settings = self.settings
        smoothing, r_drop = settings.label_smoothing, settings.r_drop
        return token_objective(states, projection, labels, loss_weights, smoothing=smoothing, r_drop=r_drop)

    def real_tokens(
        self, states: tf.Tensor, labels: tf.Tensor, loss_weights: tf.Tensor | None, passes: int
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor | None]:
        """Takes the N real target tokens out of a batch; under XLA all B T positions.

        Args:
            states: The decoder's, [P B, T, D], of P passes.
            labels: int32 [B, T].
            loss_weights: Of the rows, float32 [B], or the tokens, [B, T].
            passes: P.

        Returns:
            States [N, P, D], labels [N] and weights [N].
        """
        passes_apart = tf.split(states, passes)
        loss_weights = None if loss_weights is None else of_tokens(loss_weights, labels)
        if self.xla:  # which cannot gather a number of tokens that is not known before
            tokens = [tf.reshape(part, [-1, part.shape[-1]]) for part in passes_apart]
            labels, loss_weights = (None if rows is None else tf.reshape(rows, [-1]) for rows in (labels, loss_weights))
        else:
            real = tf.where(labels != PAD)  # [N, 2]
            tokens = [tf.gather_nd(part, real) for part in passes_apart]
            labels, loss_weights = (
                None if rows is None else tf.gather_nd(rows, real) for rows in (labels, loss_weights)
            )
        return tf.stack(tokens, axis=1), labels, loss_weights

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Within it the weights are their moving averages, if such are kept; not within a `tf.function`."""
        averages = self.optimizer.averages
        weights = self.transformer.trainable_variables if averages else []
        learning = [keras.ops.convert_to_numpy(weight) for weight in weights]
        for weight, average in zip(weights, averages, strict=True):
            weight.assign(keras.ops.convert_to_numpy(average))
        try:
            yield
        finally:
            for weight, value in zip(weights, learning, strict=True):
                weight.assign(value)

    @tf.function(input_signature=(*BATCH_SPEC, tf.TensorSpec([None], tf.float32)), autograph=False)
    def dev_sums(self, inputs: Mapping[str, tf.Tensor], labels: tf.Tensor, loss_weights: tf.Tensor) -> TokenSums:
        """The loss sums of a batch without dropout, outside the strategy."""
        projection = self.transformer.embedding.embeddings.value
        states = self.transformer.states(inputs, training=False)  # [B, T, D]
        tokens = self.real_tokens(states, labels, loss_weights, passes=1)
        return evaluated_objective(tokens[0], projection, *tokens[1:], smoothing=self.settings.label_smoothing)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Keras would build from a mean of the replicas' batches; ours is built before."""


def summed_gradient(gradient: tf.Tensor | tf.IndexedSlices, of_projection: tf.Tensor) -> tf.Tensor:
    """A weight's gradient, to which, if it is the embeddings', that of the tied projection is added.

    Looking rows up has a gradient of some rows, which are added in place; TensorFlow would make a whole table of each
    look-up's first.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.tensor_scatter_nd_add(of_projection, gradient.indices[:, None], gradient.values)


def release_frames(error: BaseException) -> None:
    """Forgets the local variables of the functions that an error has ended.

    Keras takes its own functions out of the traceback, but those that it called still lead to them.
    """
    for innermost, _ in traceback.walk_tb(error.__traceback__):
        frame: FrameType | None = innermost
        with suppress(RuntimeError):  # it has not ended, nor have those below
            while frame:
                frame.clear()
                frame = frame.f_back


def split_rows(rows: tf.Tensor, parts: int) -> tf.Tensor:
    """Rows [B, …] -> [parts, ceil(B / parts), …], row i in part i mod parts, so that each gets like lengths.

    Empty rows (all padding) fill up; they count for nothing in the loss.
    """
    further = len(rows.shape) - 1
    rows = tf.pad(rows, [[0, -tf.shape(rows)[0] % parts], *[[0, 0]] * further])
    shape = tf.concat([[-1, parts], tf.shape(rows)[1:]], axis=0)
    return tf.transpose(tf.reshape(rows, shape), [1, 0, *range(2, 2 + further)])


def token_counts(
    inputs: Mapping[str, tf.Tensor], labels: tf.Tensor, loss_weights: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """How many source and target tokens are real, and how many positions there are in all; float32 scalars.

    With loss weights, of rows or tokens, their sum over the real target tokens too.
    """

    def real(ids: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(ids != PAD, tf.float32))

    return {
        "source_tokens": real(inputs["source"]),
        "target_tokens": real(labels),
        "positions": tf.cast(tf.size(inputs["source"]) + tf.size(labels), tf.float32),
        **({} if loss_weights is None else {"loss_weight": target_weight(labels, loss_weights)}),
    }


def target_weight(labels: tf.Tensor, loss_weights: tf.Tensor) -> tf.Tensor:
    """The sum of the loss weights, [B] or [B, T], over the real tokens, int32 [B, T]: float32 []."""
    return tf.reduce_sum(tf.where(labels != PAD, of_tokens(loss_weights, labels), 0.0))


def of_tokens(loss_weights: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The loss weights of tokens [B, T], given as such or as those of the rows [B]."""
    return tf.broadcast_to(loss_weights if len(loss_weights.shape) == 2 else loss_weights[:, None], tf.shape(labels))
