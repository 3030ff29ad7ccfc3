"""Builds the trainer that a configuration describes: model, frozen layers, optimizer, and their initial state."""

from collections.abc import Sequence
from pathlib import Path

import keras
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.errors import UserError
from keras_nmt.app.training.machines.distribution import chiefs_values, take_from_chief
from keras_nmt.app.training.optimization.optimizer import optimizer_of
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.app.training.warm_start import warm_start
from keras_nmt.layers import AnyModel, network_of
from keras_nmt.pipelines.shards.manifest import Manifest


def build_on_devices(strategy: tf.distribute.Strategy, configuration: Configuration) -> Trainer:
    """Builds a trainer on all devices of a strategy. All random numbers depend on the configuration's seed."""
    if configuration.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(configuration.training.seed)
    with strategy.scope():
        return build_trainer(configuration)


def build_trainer(configuration: Configuration) -> Trainer:
    """Builds the model, the optimizer and their variables, in the scope of the current strategy."""
    transformer = network_of(configuration.model, name="transformer", dtype=configuration.training.precision)
    return trainer_for(transformer, configuration.training)


def trainer_for(transformer: AnyModel, settings: TrainingConfig) -> Trainer:
    """Builds the trainer of a model, with the optimizer and its variables. Freezes the layers that are not trained."""
    freeze(transformer, settings.freeze)
    xla = bool(tf.config.list_logical_devices("GPU"))
    trainer = Trainer(transformer, settings, xla=xla)
    optimizer = optimizer_of(settings, transformer.config.model_width)
    trainer.compile(optimizer=optimizer, auto_scale_loss=False, jit_compile=False)
    optimizer.build(transformer.trainable_variables)
    return trainer


def freeze(transformer: AnyModel, layers: Sequence[str]) -> None:
    """Makes the weights of the named layers untrainable.

    Raises:
        UserError: A name is not the name of a layer of the model, or no trainable weight is left.
    """
    for name in layers:
        named = [weight for weight in transformer.weights if f"/{name}/" in f"/{weight.path}"]
        if not named:
            known = sorted({weight.path.split("/", 2)[1] for weight in transformer.weights})
            raise UserError(
                f"training.freeze: there is no layer {name}; name one of {', '.join(known)} or a part of one, "
                "as in encoder/layer_0"
            )
        for weight in named:
            weight.trainable = False
    if not transformer.trainable_variables:
        raise UserError("training.freeze leaves no weight to learn; name fewer layers")


def reset_trainer(trainer: Trainer, configuration: Configuration, data: Manifest) -> None:
    """Resets a trainer to the weights, random seeds and optimizer state with which its training started."""
    keras.utils.set_random_seed(configuration.training.seed)
    with tf.device("CPU:0"):  # the devices of the strategy may have no room for a second model
        first = build_trainer(configuration)
    if configuration.training.warm_start:
        warm_start(first.transformer, Path(configuration.training.warm_start), data)
    for variable, value in zip(trainer_state(trainer), trainer_state(first), strict=True):
        variable.assign(keras.ops.convert_to_numpy(value))


def share_state(trainer: Trainer) -> None:
    """Copies the chief's variables and step to all machines. All machines must call this at the same time."""
    strategy = trainer.distribute_strategy
    take_from_chief(strategy, trainer_state(trainer))
    trainer.step = int(next(chiefs_values(strategy, [trainer.step])))


def trainer_state(trainer: Trainer) -> list[keras.Variable]:
    """Returns the variables of the weights, of the random seeds and of the optimizer."""
    return [*trainer.transformer.variables, *trainer.optimizer.variables]
