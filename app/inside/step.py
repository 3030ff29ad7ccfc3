"""One training step on one example, as `nmt train` makes it, with its figures for every weight.

The loss, the gradient, the clipping and the optimizer are those of the training. Three things differ: there is no
dropout, so that a step can be repeated; R-Drop's divergence is 0 without dropout; and all is computed in float32.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from keras_nmt.app.inside.boxes import Place, place_of
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.layers.losses import token_losses
from keras_nmt.pipelines.vocabulary.tokenizer import BOS


class Example(NamedTuple):
    """An example to train on: token ids, int32."""

    source: np.ndarray  # [S], EOS included; only EOS for a language model
    labels: np.ndarray  # [T]

    def inputs(self) -> dict[str, tf.Tensor]:
        """Returns the model's inputs: the source, and the labels shifted right behind BOS, each [1, length]."""
        target = np.concatenate([[BOS], self.labels[:-1]]).astype(np.int32)
        return {"source": tf.constant(self.source[np.newaxis]), "target": tf.constant(target[np.newaxis])}


class WeightFigures(NamedTuple):
    """The Euclidean norms of one weight, of its gradient and of its change in a step."""

    name: str
    place: Place
    shape: tuple[int, ...]
    gradient: float | None  # before clipping; None for a frozen weight, whose gradient is not computed
    weight: float  # before the step
    update: float


class StepFigures(NamedTuple):
    """The figures of a training step on an example with T labels."""

    losses: np.ndarray  # float32 [T], the label-smoothed cross entropy of each label in nats
    before: np.ndarray  # float32 [T], the log-probability of each label before the step
    after: np.ndarray  # float32 [T], the same after it
    loss: float  # the mean of `losses`
    learning_rate: float
    gradient_norm: float  # the norm of all gradients together, before clipping
    applied: bool  # False if the update was skipped because a gradient was not finite
    weights: list[WeightFigures]


def take_step(trainer: Trainer, example: Example) -> StepFigures:
    """Makes a training step on an example. Changes the weights and the state of the optimizer.

    Args:
        trainer: A trainer whose model has no dropout.
        example: The example, with at least one label.
    """
    model, optimizer, smoothing = trainer.transformer, trainer.optimizer, trainer.settings.label_smoothing
    inputs, labels = example.inputs(), tf.constant(example.labels[np.newaxis])
    logits = model(inputs, training=False)
    losses, before = token_losses(labels, logits, smoothing), -token_losses(labels, logits)
    old = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    rate, scale = optimizer.scaled_rate(), optimizer.scale_loss(tf.constant(1.0))
    sums, gradients = trainer.gradients((inputs, labels), tf.constant(float(len(example.labels))))
    update = optimizer.apply_summed(gradients, model.trainable_variables)
    norms = {
        weight.path: float(tf.norm(gradient) / scale)
        for weight, gradient in zip(model.trainable_variables, gradients, strict=True)
    }
    return StepFigures(
        losses=losses[0].numpy(),
        before=before[0].numpy(),
        after=-token_losses(labels, model(inputs, training=False))[0].numpy(),
        loss=float(sums.loss) / len(example.labels),
        learning_rate=float(rate),
        gradient_norm=float(update.gradient_norm),
        applied=bool(update.applied),
        weights=[_figures(weight, old[weight.path], norms.get(weight.path), model) for weight in model.weights],
    )


def _figures(weight: keras.Variable, old: np.ndarray, gradient: float | None, model: Any) -> WeightFigures:
    return WeightFigures(
        name=weight.path.partition("/")[2],
        place=place_of(weight.path, has_source=model.config.encoder_layers > 0),
        shape=tuple(old.shape),
        gradient=gradient,
        weight=float(np.linalg.norm(old)),
        update=float(np.linalg.norm(keras.ops.convert_to_numpy(weight) - old)),
    )
