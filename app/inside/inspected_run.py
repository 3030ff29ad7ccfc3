"""Opens a run for the page: its history, the model at each checkpoint, and training steps. Never writes to the run."""

import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from keras_nmt.app.config import TrainingConfig
from keras_nmt.app.errors import UserError
from keras_nmt.app.inside.checkpoints import KeptCheckpoints
from keras_nmt.app.inside.examples import example_of
from keras_nmt.app.inside.history import dev_by_step, loss_by_step
from keras_nmt.app.inside.step import Example, StepFigures, take_step
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.runs.checkpoints import IMPORTED, Arrays, assign_weights, check_resumable, training_state
from keras_nmt.app.training.building import trainer_for
from keras_nmt.app.training.optimization.optimizer import optimizer_of, schedule_of
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.vocabulary.tokenizer import EOS


class Overview(NamedTuple):
    """What the model computes for a sentence: outputs of the signature `inside`, by name."""

    own: Arrays  # all outputs, for the output of the model
    of_given: Arrays  # those that depend on the target tokens, for given tokens; {} if no tokens were given


def loaded_without_dropout(path: Path) -> RunModel:
    """Loads a run whose model has no dropout, not even in a training step.

    Raises:
        UserError: There is no run at the path, it has no checkpoint, or it is damaged.
    """
    model = RunModel(path)
    network = replace(model.run.configuration.model, residual_dropout=0.0, attention_dropout=0.0, inner_dropout=0.0)
    model.run = replace(model.run, configuration=replace(model.run.configuration, model=network))
    return model


class InspectedRun:
    """A run with one model in memory, whose weights are those of the checkpoint that a request asks for.

    Several threads may use it; they take turns.

    Args:
        model: The run, as `loaded_without_dropout` loads it. It has other weights after the first request.
        start: The weights before the first step, as `write_start` writes them; None if they are not known.

    Attributes:
        checkpoints: The checkpoints that the run has now.
    """

    def __init__(self, model: RunModel, start: Path | None = None) -> None:
        self.run, self.engine = model.run, model.engine
        self.checkpoints = KeptCheckpoints(self.run, start)
        assert self.engine.inspector  # only ensembles have none
        self.inspector = self.engine.inspector
        self.transformer = self.inspector.model
        self._loaded: Arrays | None = None  # the weights that the model has
        self._lock = threading.Lock()

    @property
    def settings(self) -> TrainingConfig:
        """The settings of the run's training."""
        return self.run.configuration.training

    @property
    def has_source(self) -> bool:
        """True if the model reads a source; False for a language model."""
        return self.run.configuration.model.encoder_layers > 0

    def pieces(self, ids: np.ndarray) -> list[str]:
        """Returns the piece of each id, int32 [N]."""
        spelled: list[bytes] = self.engine.vocabulary.spell(tf.constant(ids[np.newaxis]))[0].numpy().tolist()
        return [piece.decode("utf-8", "replace") for piece in spelled]

    def history(self) -> dict[str, Any]:
        """Returns the steps of the checkpoints, and the course of the training as columns for a picture.

        `learning_rates` has, for each checkpoint, the learning rate of the schedule for the step that follows it.
        """
        steps = list(self.checkpoints.paths())
        rate = schedule_of(self.settings, self.run.configuration.model.model_width)
        return {
            "checkpoints": steps,
            "learning_rates": [float(rate(step)) for step in steps],
            "metrics": loss_by_step(self.run),
            "dev": dev_by_step(self.run),
        }

    def warm_up(self) -> None:
        """Traces what `overview` needs, which takes seconds, so that the first request need not wait for it."""
        with suppress(UserError):  # the request for a damaged checkpoint tells of it
            self.overview(max(self.checkpoints.paths()), "a", [EOS])

    def overview(self, step: int, text: str, target_ids: Sequence[int] = ()) -> Overview:
        """Returns what the model computes for a text at a checkpoint: the outputs of the signature `inside`.

        Args:
            step: The step of the checkpoint.
            text: The text, with its tags and in the form that the task demands.
            target_ids: Target tokens to show instead of the output of the model at this checkpoint.

        Raises:
            MissingCheckpointError: The run does not have the checkpoint.
            UserError: The checkpoint is damaged.
        """
        with self._lock:
            self._load(step)
            own = dict(self.inspector.inside(tf.constant(text)))
            if not target_ids:
                return Overview(_arrays(own), {})
            source = [own["source_ids"]] if self.has_source else []
            of_given = self.inspector.overview(*source, tf.constant(target_ids, tf.int32))
            return Overview(_arrays(own), _arrays(of_given))

    def take_step(self, step: int, text: str, reference: str = "") -> tuple[Example, StepFigures]:
        """Makes the training step that follows a checkpoint, on one example, and then forgets it.

        Args:
            step: The step of the checkpoint.
            text: The text, with its tags and in the form that the task demands.
            reference: The output to learn; "" for the output of the model at this checkpoint.

        Raises:
            MissingCheckpointError: The run does not have the checkpoint.
            UserError: Another program trained the model, the text has nothing to read, or the reference does not fit.
        """
        if IMPORTED in self.run.manifest:
            raise UserError(f"{self.run.path.name} was not trained by `nmt train`, so no training step follows")
        with self._lock:
            self._load(step)
            example = example_of(self.run.task, self.engine, text, reference)
            state = self.checkpoints.state(step)
            self._loaded = None
            self._restore(step, state)
            return example, take_step(self.trainer, example)

    @cached_property
    def trainer(self) -> Trainer:
        """The trainer of the model, which is built when it is first needed, because the optimizer takes memory."""
        return trainer_for(self.transformer, replace(self.settings, r_drop=0.0, accumulation=1))

    def _load(self, step: int) -> None:
        """Gives the model the weights with which it translates at a checkpoint."""
        weights = self.checkpoints.weights(step)
        if weights is not self._loaded:
            self._loaded = None  # if the loop below fails, the model has weights of two checkpoints
            assign_weights(self.transformer, weights, self.run.path)
            self._loaded = weights

    def _restore(self, step: int, state: Arrays) -> None:
        """Gives the model and the optimizer the state from which training continues, after `_load`.

        If the run averages its weights, the training continues from the weights that are not averaged. A checkpoint
        without a state gets that of a training without any earlier step.
        """
        optimizer, weights = self.trainer.optimizer, self.transformer.trainable_variables
        if not state:
            fresh = optimizer_of(self.settings, self.run.configuration.model.model_width)
            fresh.build(weights)
            for variable, value in zip(optimizer.variables, fresh.variables, strict=True):
                variable.assign(value)
            optimizer.iterations.assign(step)
            return
        check_resumable(self.transformer, self.checkpoints.weights(step), self.run.path)
        for name, variable in training_state(self.transformer, optimizer).items():
            if not name.startswith("seed"):  # seeds are for dropout
                variable.assign(state[name])


def _arrays(outputs: Mapping[str, tf.Tensor]) -> Arrays:
    return {name: values.numpy() for name, values in outputs.items()}
