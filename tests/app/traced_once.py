"""Trainers and engines of one kind are traced once, for tracing is most of what a command takes here.

What is learnt stays that of a command by itself: a trainer that is used again is given the weights, seeds and optimizer
of one that is built anew, as the command asks for it.
"""

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from unittest import mock

import keras
import tensorflow as tf

from keras_nmt.app.config import Configuration
from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.generation.stepper import steps_of
from keras_nmt.app.decoding.generation.steps import GenerationSteps
from keras_nmt.app.decoding.parsing.graph import ParsingGraph
from keras_nmt.app.decoding.signatures import Signatures
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.exporting import generation
from keras_nmt.app.exporting.check_golden_translations import GOLDEN_TRANSLATIONS
from keras_nmt.app.exporting.golden_translations import GoldenTranslation
from keras_nmt.app.models import loading
from keras_nmt.app.models.export_layout import EXTRA
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.tasks.known import TASKS
from keras_nmt.app.tasks.task import Task
from keras_nmt.app.training import building
from keras_nmt.app.training.machines import distribution
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import sha256_of

# Settings that no graph depends on; the steps only where the learning rate does not.
OUTSIDE_THE_GRAPH = {
    *("steps", "checkpoint_every", "keep_checkpoints", "keep_best", "best_by", "patience", "dev_sentences"),
    *("spike_factor", "storm_steps", "max_rollbacks", "seed"),
}

build_trainer = building.build_trainer
engine_of_task = {name: task.engine for name, task in TASKS.items()}
engine_of_run = vars(RunModel)["engine"].func
load_export = tf.saved_model.load
_trainers: dict[Any, Trainer] = {}
_engines: dict[Any, Any] = {}
_signatures: dict[int, Signatures] = {}
_steps: dict[int, GenerationSteps] = {}
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


def engine_of(task: Task, transformer: Any, vocabulary: Any, options: Any) -> Any:
    """In place of `Task.engine`: a new engine of what a trainer holds."""
    key = (task.name, identities(transformer), vocabulary.digest, options)
    return _engines.get(key) or _engines.setdefault(key, engine_of_task[task.name](transformer, vocabulary, options))


def engine_of_model(model: RunModel) -> Any:
    """In place of `RunModel.engine`: runs with the same weights, as copies of one, have the same."""
    weights = tuple(each.checkpoint.weights_digest for each in (model, *model.others))
    vocabulary = model.run.vocabulary()  # which is held to its digest
    key = (weights, vocabulary.digest, model.run.configuration.model, model.precision, model.options, model.fusion)
    return _engines.get(key) or _engines.setdefault(key, engine_of_run(model))


def signatures_once(signatures: Callable[[Any], Signatures]) -> Callable[[Any], Signatures]:
    """Returns a method in place of `signatures` of an engine."""

    def kept(engine: Any) -> Signatures:
        (key,) = identities(engine)
        return _signatures.get(key) or _signatures.setdefault(key, signatures(engine))

    return kept


def steps(graph: GenerationGraph) -> GenerationSteps:
    """In place of `steps_of`."""
    (key,) = identities(graph)
    return _steps.get(key) or _steps.setdefault(key, steps_of(graph))


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


def golden_as(version: Path) -> Callable[..., list[GoldenTranslation]]:
    """In place of `golden_translations`: returns those of an export of the same model."""
    kept = json.loads((version / EXTRA / GOLDEN_TRANSLATIONS).read_text(encoding="utf-8"))
    return lambda *_: [GoldenTranslation(**line) for line in kept["translations"]]


@cache
def one_device() -> tf.distribute.Strategy:
    """In place of `mirrored_strategy`: the same object each time, on the first of the two devices."""
    return tf.distribute.MirroredStrategy(["CPU:0"])


@contextmanager
def on_one_device() -> Iterator[None]:
    """Until the block is left, trainings use one device, as a step of two takes nearly twice as long to trace.

    For trainings whose result is tested, and not how they run: resuming, signals and damage are tested on two devices.
    """
    with mock.patch.object(distribution, "mirrored_strategy", one_device):
        yield


@contextmanager
def exports_loaded_once() -> Iterator[None]:
    """Until the block is left, an export that this process loaded before is not loaded again."""
    with mock.patch.object(tf.saved_model, "load", load):
        yield


@contextmanager
def tracing_once() -> Iterator[None]:
    """Until the block is left, what was traced before in this process is used again."""
    engine = cached_property(engine_of_model)
    engine.__set_name__(RunModel, "engine")
    with ExitStack() as patches:
        patches.enter_context(mock.patch.object(building, "build_trainer", trainer_of))
        patches.enter_context(mock.patch.object(RunModel, "engine", engine))
        for task in TASKS.values():
            patches.enter_context(mock.patch.object(type(task), "engine", engine_of))
        for kind in (TranslationGraph, ParsingGraph, GenerationGraph):
            patches.enter_context(mock.patch.object(kind, "signatures", signatures_once(kind.signatures)))
        for module in (loading, generation):
            patches.enter_context(mock.patch.object(module, "steps_of", steps))
        yield
