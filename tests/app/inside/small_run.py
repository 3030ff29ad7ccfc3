"""A run of a very small model that tests train step by step, without data, and write as `nmt train` does."""

import copy
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.inside.step import Example
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training.building import build_trainer
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.layers import TransformerConfig
from keras_nmt.pipelines.sources.corpora import LanguagePair
from tests.app.decoding.fakes import small_vocabulary

FIRST = Example(np.array([11, 12, 13, 3], np.int32), np.array([21, 22, 3], np.int32))


class SmallRun:
    """A run and the trainer that trains it.

    Args:
        path: The folder of the run.
        model: Fields of `TransformerConfig` that differ from those of the smallest model.
        settings: Fields of `TrainingConfig` that differ from the defaults.
    """

    def __init__(self, path: Path, model: dict[str, Any] | None = None, **settings: Any) -> None:
        vocabulary = small_vocabulary()
        sizes = {"model_width": 12, "inner_width": 20, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
        config = TransformerConfig(vocabulary.size, **{**sizes, "residual_dropout": 0.0, **(model or {})})
        training = TrainingConfig(**{"precision": "float32", "warmup_steps": 10, "seed": 7, **settings})
        configuration = Configuration(config, training, DecodingOptions(beam_size=2, max_extra_tokens=2))
        self.run = RunDirectory.create_with(path, configuration, LanguagePair("en", "de"), vocabulary, {})
        keras.utils.set_random_seed(training.seed)
        self.trainer: Trainer = build_trainer(configuration)
        self.step = 0

    def copied(self, path: Path) -> "SmallRun":
        """Returns the run in another folder, with the same trainer."""
        other = copy.copy(self)
        other.run = replace(self.run, path=Path(shutil.copytree(self.run.path, path)))
        return other

    def learn(self, example: Example = FIRST) -> dict[str, float]:
        """Makes a training step on an example as the training does; returns its figures."""
        self.step += 1
        figures = self.trainer.replica_step(example.inputs(), example.labels[np.newaxis])
        return {name: float(value) for name, value in figures.items()}

    def save(self) -> None:
        """Writes a checkpoint."""
        self.run.checkpoints.save(self.step, self.trainer.transformer, self.trainer.optimizer, {})

    def weights(self) -> dict[str, np.ndarray]:
        """Returns the weights by their path."""
        return {w.path: keras.ops.convert_to_numpy(w).copy() for w in self.trainer.transformer.weights}
