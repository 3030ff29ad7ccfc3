"""The train step and Keras `fit` around it, on any number of devices.

The step is ours because three of Keras' own parts do not give the mathematics wanted here: its loss reduction takes a
mean of the replicas' means, its optimizer reduces gradients where their norm cannot be seen, and its first batch
builds the model from a mean over replicas, which fails when their shapes differ. The loop, the callbacks and the
history stay Keras'.
"""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from app.training.objective import TokenSums, smoothed_cross_entropy
from layers import Transformer
from layers.dropout import shifted_seeds
from pipelines.stream import BATCH_SPEC
from pipelines.vocabulary import PAD


class Trainer(keras.Model):
    """A `Transformer` that learns; `fit` takes batches of the contract, divided among replicas.

    The loss of a step is the sum over real target tokens divided by their number in the *global* batch, so that the
    division of the batch among replicas does not change it.

    Attributes:
        step: How many batches were learnt from, those counted on whose update was skipped because its float16 gradient
            overflowed; so it is the position in the data too.
    """

    def __init__(self, transformer: Transformer, label_smoothing: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.transformer = transformer
        self.label_smoothing = label_smoothing
        self.step = 0
        self.built = True

    def call(self, inputs: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        """Logits, as the transformer gives them."""
        return self.transformer(inputs, training=training)

    def make_train_function(self, force: bool = False) -> None:
        """Makes the function that Keras' loop calls with an iterator; it returns a step's figures."""
        strategy = self.distribute_strategy

        @tf.function
        def step(iterator: Any) -> dict[str, tf.Tensor]:
            figures = strategy.run(self.replica_step, args=next(iterator))
            # Every replica holds the same global figures.
            return {name: strategy.experimental_local_results(value)[0] for name, value in figures.items()}

        def counted_step(iterator: Any) -> dict[str, tf.Tensor]:
            self.step += 1
            return step(iterator)

        self.train_function = counted_step

    def replica_step(self, inputs: Mapping[str, tf.Tensor], labels: tf.Tensor) -> dict[str, tf.Tensor]:
        """Learns from one replica's part of a global batch.

        Returns:
            Of the global batch, as float32 scalars: loss and cross_entropy (nats a real target token), accuracy,
            gradient_norm (before clipping or loss scaling), learning_rate, source_tokens and target_tokens (real ones,
            EOS among them), padding_share (of both sides).
        """
        replica = tf.distribute.get_replica_context()
        learning_rate = self.optimizer.learning_rate
        counts = replica.all_reduce(tf.distribute.ReduceOp.SUM, token_counts(inputs, labels))
        tokens = tf.maximum(counts["target_tokens"], 1.0)
        weights = self.transformer.trainable_variables
        loss_scale = self.optimizer.scale_loss(1.0)  # read before the update may change it
        # Else every replica would draw the same dropout masks.
        with tf.GradientTape() as tape, shifted_seeds(replica.replica_id_in_sync_group):
            sums = self.objective(inputs, labels)
            scaled_loss = self.optimizer.scale_loss(sums.loss / tokens)
        gradients = [tf.convert_to_tensor(g) for g in tape.gradient(scaled_loss, [w.value for w in weights])]
        gradients = replica.all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        sums = replica.all_reduce(tf.distribute.ReduceOp.SUM, sums._asdict())
        self.optimizer.apply(gradients, weights)
        return {
            "loss": sums["loss"] / tokens,
            "cross_entropy": sums["cross_entropy"] / tokens,
            "accuracy": sums["correct"] / tokens,
            "gradient_norm": tf.linalg.global_norm(gradients) / loss_scale,
            "learning_rate": tf.cast(learning_rate, tf.float32),
            "source_tokens": counts["source_tokens"],
            "target_tokens": counts["target_tokens"],
            "padding_share": 1.0 - (counts["source_tokens"] + counts["target_tokens"]) / counts["positions"],
        }

    def objective(self, inputs: Mapping[str, tf.Tensor], labels: tf.Tensor, training: bool = True) -> TokenSums:
        """The loss sums of this batch's real target tokens (see `smoothed_cross_entropy`)."""
        states = self.transformer.states(inputs, training=training)  # [B, T, D]
        real = tf.where(labels != PAD)  # [N, 2]
        table = tf.cast(self.transformer.embedding.embeddings.value, states.dtype)
        return smoothed_cross_entropy(
            tf.gather_nd(states, real), table, tf.gather_nd(labels, real), smoothing=self.label_smoothing
        )

    @tf.function(input_signature=BATCH_SPEC)
    def dev_sums(self, inputs: Mapping[str, tf.Tensor], labels: tf.Tensor) -> TokenSums:
        """The loss sums of a batch without dropout, outside the strategy."""
        return self.objective(inputs, labels, training=False)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Keras would build from a mean of the replicas' batches; ours is built before."""


def token_counts(inputs: Mapping[str, tf.Tensor], labels: tf.Tensor) -> dict[str, tf.Tensor]:
    """How many source and target tokens are real, and how many positions there are in all; float32 scalars."""

    def real(ids: tf.Tensor) -> tf.Tensor:
        return tf.reduce_sum(tf.cast(ids != PAD, tf.float32))

    return {
        "source_tokens": real(inputs["source"]),
        "target_tokens": real(labels),
        "positions": tf.cast(tf.size(inputs["source"]) + tf.size(labels), tf.float32),
    }
