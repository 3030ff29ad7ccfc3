"""The train step for any number of devices, which Keras' `fit` calls.

The step replaces three parts of Keras: the loss reduction, because Keras averages the means of the replicas; the
summation of the gradients over the replicas, because Keras sums them at a point where their norm is not available; and
the building of the model, because Keras builds it from the mean of the replicas' first batches, which fails if the
batches have different shapes. The training loop, the callbacks and the history are those of Keras.
"""

import gc
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf

from keras_nmt.app.config import TrainingConfig
from keras_nmt.app.runtime.frames import release_frames
from keras_nmt.app.training.objective.objective import TokenSums, evaluated_objective, token_objective
from keras_nmt.app.training.objective.real_tokens import real_tokens
from keras_nmt.layers import AnyModel
from keras_nmt.layers.losses import token_weights
from keras_nmt.layers.sublayers.dropout import shifted_seeds
from keras_nmt.pipelines.streaming.stream import BATCH_SPEC
from keras_nmt.pipelines.vocabulary.tokenizer import PAD


class Trainer(keras.Model):
    """A `Transformer` or `LanguageModel` with its objective and train step.

    `fit` takes distributed batches of the training stream.

    The loss of a step is the sum of the losses of the real target tokens, divided by the number of these tokens in the
    *global* batch. So the loss does not depend on how the batch is divided among replicas and accumulated parts. Data
    with loss weights has a weight for each row, or for each target token of packed rows. In the sum, the loss of each
    token is multiplied by its weight, and instead of the number of tokens, the sum of their weights is used. So a pair
    of weight 2 has the same effect as two equal pairs.

    Args:
        transformer: A built model.
        settings: The training settings.
        xla: True to compile each replica's forward and backward computation with XLA. For GPUs only: on a CPU, XLA's
            bfloat16 products are several times slower than TensorFlow's.
        kwargs: The keyword arguments of `keras.Model`.

    Attributes:
        step: The number of batches that were read, which is the position in the data. Includes batches whose update
            was skipped because the gradient was not finite, and batches that were skipped after a divergence.
    """

    train_function: Any  # None until `make_train_function`

    def __init__(self, transformer: AnyModel, settings: TrainingConfig, *, xla: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transformer = transformer
        self.settings = settings
        self.xla = xla
        self.step = 0
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Returns the transformer's logits."""
        return self.transformer(inputs, training=training)

    def fit(self, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Calls Keras' `fit`, and then frees the iterator over the batches, even after an error.

        Otherwise, a tf.data thread that still runs Python code would prevent the interpreter from exiting.
        """
        try:
            return super().fit(*args, **kwargs)
        except BaseException as error:
            release_frames(error)  # the local variables of the frames refer to the iterator
            raise
        finally:
            gc.collect()  # a reference cycle in Keras refers to the iterator, too

    def make_train_function(self, force: bool = False) -> None:
        """Creates the function that Keras' loop calls for each step.

        Does nothing if the function exists and `force` is False. So a rollback does not compile the function again.
        """
        if self.train_function is not None and not force:
            return
        strategy = self.distribute_strategy

        @tf.function(autograph=False)
        def step(iterator: Any) -> dict[str, tf.Tensor]:
            figures = strategy.run(self.replica_step, args=next(iterator))
            # The metrics are those of the global batch, so they are the same on every replica.
            return {name: strategy.experimental_local_results(value)[0] for name, value in figures.items()}

        def counted_step(iterator: Any) -> dict[str, tf.Tensor]:
            self.step += 1
            return step(iterator)

        self.train_function = counted_step

    def replica_step(self, *batch: Any) -> dict[str, tf.Tensor]:
        """Trains on one replica's part of a global batch.

        Args:
            batch: The inputs and the labels. If the data has loss weights, also the weights, float32 [B] or [B, T],
                which are 0 for empty rows.

        Returns:
            The metrics of the global batch, float32 scalars: loss and cross_entropy (in nats per real target token)
            and accuracy, all three weighted by the loss weights; gradient_norm (before clipping, without the loss
            scale); learning_rate; source_tokens and target_tokens (the numbers of real tokens, with EOS);
            padding_share (the share of padding in all positions of both sides); and skipped (1 if the update was
            skipped because the gradient was not finite, else 0).
        """
        replica = tf.distribute.get_replica_context()
        counts = replica.all_reduce(tf.distribute.ReduceOp.SUM, token_counts(*batch))
        total = counts["loss_weight"] if "loss_weight" in counts else counts["target_tokens"]
        total = tf.where(total > 0, total, 1.0)
        learning_rate = self.optimizer.scaled_rate()
        # If the seeds were not shifted, all replicas would draw the same dropout masks.
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
        """Computes the loss sums and the gradients of a batch, one accumulated part of the batch after another.

        The gradients are those of the loss divided by `total` and multiplied by the loss scale.

        Args:
            batch: The batch, as for `replica_step`.
            total: The divisor of the loss, float32: the (weighted) number of tokens of the global batch.
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
        """Computes the results of `accumulated_gradients` for the whole batch at once."""
        inputs, labels, *loss_weights = batch
        weights = [weight.value for weight in self.transformer.trainable_variables]
        with tf.GradientTape() as tape:
            projection = tf.stop_gradient(self.transformer.embedding.embeddings.value)
            tape.watch(projection)
            sums = self.objective(inputs, labels, projection, *loss_weights)
            scaled_loss = self.optimizer.scale_loss(sums.loss / total)
        *gradients, projection_gradient = tape.gradient(scaled_loss, [*weights, projection])
        return sums, [summed_gradient(gradient, projection_gradient) for gradient in gradients]

    def objective(
        self,
        inputs: Mapping[str, tf.Tensor],
        labels: tf.Tensor,
        projection: tf.Tensor,
        loss_weights: tf.Tensor | None = None,
    ) -> TokenSums:
        """Computes the loss sums over this batch's real target tokens (see `token_objective`).

        Args:
            inputs: The model's inputs.
            labels: The labels, int32 [B, T].
            projection: The tied embeddings, float32 [V, D], as a tensor of their own, so that the gradient of the
                projection is computed separately from the gradient of the embedding look-ups.
            loss_weights: The loss weights of the rows, float32 [B], or of the tokens, float32 [B, T]; None for a weight
                of 1 for each token.
        """
        passes = 2 if self.settings.r_drop else 1
        inputs = {name: tf.tile(ids, [passes, 1]) for name, ids in inputs.items()} if passes > 1 else inputs
        outputs = self.transformer.outputs(inputs, training=True)
        states, *tokens = real_tokens(outputs, labels, loss_weights, passes=passes, padded=self.xla)
        settings = self.settings
        smoothing, r_drop = settings.label_smoothing, settings.r_drop
        return token_objective(states, projection, *tokens, smoothing=smoothing, r_drop=r_drop)

    @contextmanager
    def averaged_weights(self) -> Iterator[None]:
        """Replaces the weights by their moving averages, if any, inside the context. Not usable in a `tf.function`."""
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
        """Computes the loss sums of a dev batch, without dropout. Runs outside of the distribution strategy."""
        projection = self.transformer.embedding.embeddings.value
        outputs = self.transformer.outputs(inputs, training=False)
        states, *tokens = real_tokens(outputs, labels, loss_weights, padded=self.xla)
        return evaluated_objective(states, projection, *tokens, smoothing=self.settings.label_smoothing)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Does nothing, since the model is already built. Keras would build it from a mean of the replicas' batches."""


def summed_gradient(gradient: tf.Tensor | tf.IndexedSlices, projection_gradient: tf.Tensor) -> tf.Tensor:
    """Returns the gradient of a weight. For the embeddings, adds the gradient of the tied projection.

    The gradient of the embedding look-ups has only some rows of the table. These rows are added to the projection's
    gradient. If TensorFlow added the gradients, it would first expand the gradient of each look-up to a whole table.
    """
    if not isinstance(gradient, tf.IndexedSlices):
        return gradient
    return tf.tensor_scatter_nd_add(projection_gradient, gradient.indices[:, None], gradient.values)


def split_rows(rows: tf.Tensor, parts: int) -> tf.Tensor:
    """Splits rows [B, …] into [parts, ceil(B / parts), …].

    Row i goes to part i mod parts, so that all parts have rows of similar lengths. The parts are filled up with empty
    rows (all padding), which have no effect on the loss.
    """
    axes = len(rows.shape) - 1
    rows = tf.pad(rows, [[0, -tf.shape(rows)[0] % parts], *[[0, 0]] * axes])
    shape = tf.concat([[-1, parts], tf.shape(rows)[1:]], axis=0)
    return tf.transpose(tf.reshape(rows, shape), [1, 0, *range(2, 2 + axes)])


def token_counts(
    inputs: Mapping[str, tf.Tensor], labels: tf.Tensor, loss_weights: tf.Tensor | None = None
) -> dict[str, tf.Tensor]:
    """Counts the real source tokens, the real target tokens and all positions of a batch, as float32 scalars.

    With `loss_weights`, [B] or [B, T], also returns the sum of the weights of the real target tokens.
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
    """Returns the summed loss weight of the real target tokens, float32. The weights are [B] or [B, T]."""
    return tf.reduce_sum(token_weights(labels, loss_weights))
