"""Measures KerasHub's `TransformerEncoder` and `TransformerDecoder` on TensorFlow: Keras `fit` on prepared batches.

The loss is written as a careful user would write it: it smooths labels without one-hot targets, and ignores padding.
"""

import os
from collections.abc import Iterator, Mapping
from itertools import cycle
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import keras_hub
import tensorflow as tf

from benchmarks.measuring import PAD, VOCABULARY_SIZE, StepClock, read_arguments, read_batches

WIDTH, INNER_WIDTH, HEADS, LAYERS, DROPOUT, SMOOTHING = 512, 2048, 8, 6, 0.1, 0.1


def build() -> keras.Model:
    """Returns an untrained Transformer base with tied embeddings."""
    hub = keras_hub.layers
    source, target = (keras.Input((None,), dtype="int32") for _ in range(2))
    embedding = hub.ReversibleEmbedding(VOCABULARY_SIZE, WIDTH, tie_weights=True, mask_zero=True)
    positions = hub.SinePositionEncoding()

    def embed(ids: keras.KerasTensor) -> keras.KerasTensor:
        rows = embedding(ids) * WIDTH**0.5
        return keras.layers.Dropout(DROPOUT)(rows + positions(rows))

    real = keras.layers.Lambda(lambda ids: keras.ops.not_equal(ids, PAD), output_shape=lambda shape: shape)(source)
    memory = embed(source)
    for _ in range(LAYERS):
        memory = hub.TransformerEncoder(INNER_WIDTH, HEADS, dropout=DROPOUT)(memory, padding_mask=real)
    states = embed(target)
    for _ in range(LAYERS):
        decoder = hub.TransformerDecoder(INNER_WIDTH, HEADS, dropout=DROPOUT)
        states = decoder(states, memory, encoder_padding_mask=real)
    return keras.Model([source, target], embedding(states, reverse=True))


class SmoothedCrossEntropy(keras.losses.Loss):
    """Label-smoothed cross entropy, averaged over the real target tokens."""

    def call(self, labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
        """Returns the mean loss for labels [B, T] and logits [B, T, V], a scalar."""
        logits, labels = keras.ops.cast(logits, "float32"), keras.ops.cast(labels, "int32")
        normalizer = keras.ops.logsumexp(logits, axis=-1)
        label_logits = keras.ops.take_along_axis(logits, keras.ops.expand_dims(labels, -1), axis=-1)
        expected = (1 - SMOOTHING) * keras.ops.squeeze(label_logits, -1) + SMOOTHING * keras.ops.mean(logits, axis=-1)
        real = keras.ops.cast(labels != PAD, "float32")
        return keras.ops.sum((normalizer - expected) * real) / keras.ops.sum(real)


def main() -> None:
    """Trains until enough steps are measured, and prints the result."""
    arguments = read_arguments(__doc__)
    keras.utils.set_random_seed(0)
    if arguments.precision == "bfloat16":
        keras.mixed_precision.set_global_policy("mixed_bfloat16")
    model = build()
    model.compile(keras.optimizers.Adam(1e-4, beta_2=0.98), SmoothedCrossEntropy(), jit_compile=False)
    batches = read_batches(arguments.data, arguments.tokens)
    tokens = cycle([batch.target_tokens for batch in batches])
    clock = StepClock(arguments.seconds)

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
            self.model.stop_training = clock.step_done(next(tokens))

    def stream() -> Iterator[Any]:
        return (((batch.source, batch.target), batch.labels) for batch in cycle(batches))

    ids = tf.TensorSpec((None, None), tf.int32)
    data = tf.data.Dataset.from_generator(stream, output_signature=((ids, ids), ids)).prefetch(2)
    model.fit(data, steps_per_epoch=10**9, verbose=0, callbacks=[Watch()])
    versions = {"tensorflow": tf.__version__, "keras": keras.__version__, "keras_hub": keras_hub.__version__}
    clock.report(versions, model.count_params())


if __name__ == "__main__":
    main()
