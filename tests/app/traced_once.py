"""Trainers and translation graphs of one kind are traced once, for tracing is most of what a command takes here.

What is learnt stays that of a command by itself: a trainer that is used again is given the weights, seeds and optimizer
of one that is built anew, as the command asks for it.
"""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keras_nmt.app.config import Configuration
from keras_nmt.app.decoding.signatures import Signatures
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.tasks.translation import Translation
from keras_nmt.app.training import building
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import sha256_of

# Settings that no graph depends on; the steps only where the learning rate does not.
OUTSIDE_THE_GRAPH = {
    *("steps", "checkpoint_every", "keep_checkpoints", "keep_best", "best_by", "patience", "dev_sentences"),
    *("spike_factor", "storm_steps", "max_rollbacks", "seed"),
}

build_trainer = building.build_trainer
signatures_of_graph = TranslationGraph.signatures
graph_of_run = vars(RunModel)["graph"].func
load_export = tf.saved_model.load
_trainers: dict[Any, Trainer] = {}
_graphs: dict[Any, TranslationGraph] = {}
_signatures: dict[int, Signatures] = {}
_exports: dict[Any, Any] = {}
_kept_alive: list[Any] = []  # so that no other object has its id


def identities(*objects: object) -> tuple[int, ...]:
    """Keys for objects without a value to compare by."""
    _kept_alive.extend(objects)
    return tuple(map(id, objects))


def trainer_of(configuration: Configuration) -> Trainer:
    """In place of `build_trainer`."""
    fresh = build_trainer(configuration)
    settings = configuration.as_sections()
    outside = OUTSIDE_THE_GRAPH - ({"steps"} if configuration.training.schedule == "cosine" else set())
    parts = [
        *settings["model"].items(),
        *((name, value) for name, value in settings["training"].items() if name not in outside),
    ]
    as_patched = (vars(building)["Trainer"], *vars(Trainer).values())  # what tests put in their place
    key = (repr(parts), identities(tf.distribute.get_strategy(), *as_patched))
    if key not in _trainers:
        return _trainers.setdefault(key, fresh)
    trainer = _trainers[key]
    trainer.settings, trainer.step = configuration.training, 0
    for variable, value in zip(building.trainer_state(trainer), building.trainer_state(fresh), strict=True):
        variable.assign(keras.ops.convert_to_numpy(value))
    return trainer


def graph_of(transformer: Any, vocabulary: Any, options: Any) -> TranslationGraph:
    """In place of a new `TranslationGraph` of what a trainer holds."""
    key = (identities(transformer), vocabulary.digest, options)
    return _graphs.get(key) or _graphs.setdefault(key, TranslationGraph(transformer, vocabulary, options))


def graph_of_model(model: RunModel) -> TranslationGraph:
    """In place of `RunModel.graph`: runs with the same weights, as copies of one, have the same."""
    weights = tuple(each.checkpoint.weights_digest for each in (model, *model.others))
    vocabulary = model.run.vocabulary()  # which is held to its digest
    key = (weights, vocabulary.digest, model.run.configuration.model, model.precision, model.options, model.fusion)
    return _graphs.get(key) or _graphs.setdefault(key, graph_of_run(model))


def signatures(graph: TranslationGraph) -> Signatures:
    """In place of `TranslationGraph.signatures`."""
    (key,) = identities(graph)
    return _signatures.get(key) or _signatures.setdefault(key, signatures_of_graph(graph))


def load(path: str, **how: Any) -> Any:
    """In place of `tf.saved_model.load`: of the same files, as of a copy, the same is loaded."""
    files = sorted(file for part in ("saved_model.pb", "variables/*", "assets/*") for file in Path(path).glob(part))
    key = (tuple((file.name, sha256_of(file)) for file in files), repr(how))
    return _exports.get(key) or _exports.setdefault(key, load_export(path, **how))


def save_as(version: Path) -> Callable[..., None]:
    """In place of `tf.saved_model.save`: copies what was saved of the same model, for saving takes seconds."""

    def save(module: tf.Module, path: str, **how: object) -> None:
        shutil.copyfile(version / "saved_model.pb", Path(path) / "saved_model.pb")
        shutil.copytree(version / "variables", Path(path) / "variables")

    return save


@contextmanager
def exports_loaded_once() -> Iterator[None]:
    """Until the block is left, an export that this process loaded before is not loaded again."""
    with mock.patch.object(tf.saved_model, "load", load):
        yield


@contextmanager
def tracing_once() -> Iterator[None]:
    """Until the block is left, what was traced before in this process is used again."""
    graph = cached_property(graph_of_model)
    graph.__set_name__(RunModel, "graph")
    with (
        mock.patch.object(building, "build_trainer", trainer_of),
        mock.patch.object(Translation, "engine", lambda _, *of: graph_of(*of)),
        mock.patch.object(TranslationGraph, "signatures", signatures),
        mock.patch.object(RunModel, "graph", graph),
    ):
        yield
