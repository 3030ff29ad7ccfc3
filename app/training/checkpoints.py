"""Checkpoints: what a run needs to go on, and weights to translate with.

A checkpoint is a folder of NumPy archives, so that any program can read the weights: `weights.npz` by the weight's
path in the model (their moving averages, where the run keeps such), `state.npz` with the optimizer and the random
seeds in their order and the weights that learn where `weights.npz` has their averages, `checkpoint.json` with the step,
facts about it and a checksum of each file. It is written aside and renamed: a folder with the right name is whole.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from app.errors import UserError
from app.training.optimizer import FusedAdam
from pipelines.shards import sha256_of

Arrays = dict[str, np.ndarray[Any, Any]]


@dataclass(frozen=True)
class Checkpoint:
    """One finished checkpoint: its folder, its step, and facts such as `dev_bleu` or `averaged`."""

    path: Path
    step: int
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Reads the description and holds each file to its checksum.

        Raises:
            UserError: The folder is no checkpoint, or a file was changed since it was written.
        """
        try:
            description = json.loads((path / "checkpoint.json").read_text(encoding="utf-8"))
        except (OSError, json.JSONDecodeError) as error:
            raise UserError(f"{path} is not a checkpoint: checkpoint.json is missing or damaged") from error
        for name, digest in description["sha256"].items():
            if not (path / name).is_file() or sha256_of(path / name) != digest:
                raise UserError(f"{path / name} is missing or damaged; remove {path} to use an earlier checkpoint")
        return cls(path, description["step"], description["facts"])

    def weights(self) -> Arrays:
        """The weights by path."""
        return _read(self.path / "weights.npz")

    def load_weights(self, model: keras.Model) -> None:
        """Puts the weights into a built model of the same shape.

        Raises:
            UserError: The model has other weights; the message names the first that differs.
        """
        arrays = self.weights()
        for weight in model.weights:
            array = arrays.get(weight.path)
            if array is None or array.shape != tuple(weight.shape):
                found = "nothing" if array is None else list(array.shape)
                wanted = list(weight.shape)
                raise UserError(f"{self.path}: expected {weight.path} of shape {wanted}, found {found}")
            weight.assign(array)

    def restore(self, model: keras.Model, optimizer: FusedAdam) -> None:
        """Puts back weights, optimizer and seeds; the optimizer must be built."""
        self.load_weights(model)
        arrays = _read(self.path / "state.npz")
        for name, variable in _state(model, optimizer).items():
            variable.assign(arrays[name])


class CheckpointFolder:
    """The `checkpoints/` of a run, which keeps the newest `keep`."""

    def __init__(self, path: Path, keep: int) -> None:
        self.path = path
        self.keep = keep

    def save(self, step: int, model: keras.Model, optimizer: FusedAdam, facts: Mapping[str, Any]) -> Path:
        """Writes step-N and removes what is older than the newest `keep`."""
        averages = dict(zip((weight.path for weight in model.trainable_variables), optimizer.averages, strict=False))
        weights = {w.path: keras.ops.convert_to_numpy(averages.get(w.path, w)) for w in model.weights}
        state = {name: keras.ops.convert_to_numpy(variable) for name, variable in _state(model, optimizer).items()}
        path = write_checkpoint(
            self.path / f"step-{step:08d}", step, {"weights.npz": weights, "state.npz": state}, facts
        )
        for _, old in self.steps()[: -self.keep]:
            shutil.rmtree(old)
        return path

    def steps(self) -> list[tuple[int, Path]]:
        """The finished checkpoints of the run itself, oldest first."""
        found = [(re.fullmatch(r"step-(\d+)", path.name), path) for path in self.path.glob("step-*")]
        return sorted((int(match[1]), path) for match, path in found if match)

    def latest(self) -> Checkpoint | None:
        """The newest checkpoint, or None."""
        steps = self.steps()
        return Checkpoint.open(steps[-1][1]) if steps else None

    def average_path(self) -> Path:
        """Where `nmt average` puts its result."""
        return self.path / "average"


def average_newest(folder: CheckpointFolder, last: int) -> Path:
    """Writes the average of the newest `last` checkpoints into the folder and gives its path.

    Raises:
        UserError: There are fewer.
    """
    steps = folder.steps()
    if len(steps) < last:
        raise UserError(
            f"{folder.path} has {len(steps)} checkpoint(s), fewer than --last {last}; "
            "train on, or keep more with --set training.keep_checkpoints"
        )
    chosen = [Checkpoint.open(path) for _, path in steps[-last:]]
    facts = {"averaged": [checkpoint.step for checkpoint in chosen]}
    return write_checkpoint(folder.average_path(), chosen[-1].step, {"weights.npz": average(chosen)}, facts)


def average(checkpoints: Sequence[Checkpoint]) -> Arrays:
    """The mean of the checkpoints' weights, taken in float64 (Vaswani et al. 2017, section 6.1)."""
    total: Arrays = {}
    for checkpoint in checkpoints:
        for name, array in checkpoint.weights().items():
            total[name] = total.get(name, np.zeros(array.shape, np.float64)) + array
    return {name: (array / len(checkpoints)).astype(np.float32) for name, array in total.items()}


def write_checkpoint(path: Path, step: int, files: Mapping[str, Arrays], facts: Mapping[str, Any]) -> Path:
    """Writes the archives and their description beside `path`, then renames; replaces what is there."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        for name, arrays in files.items():
            with (partial / name).open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                os.fsync(file.fileno())
        description = {
            "step": step,
            "facts": dict(facts),
            "sha256": {name: sha256_of(partial / name) for name in files},
        }
        (partial / "checkpoint.json").write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        replaced = path.with_name(f".{path.name}.replaced")
        shutil.rmtree(replaced, ignore_errors=True)
        if path.exists():
            path.rename(replaced)
        partial.rename(path)
        shutil.rmtree(replaced, ignore_errors=True)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}; earlier checkpoints are untouched") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def _state(model: keras.Model, optimizer: FusedAdam) -> dict[str, keras.Variable]:
    """What training needs beside the weights to translate with, named by kind and order."""
    weights = {id(weight) for weight in model.weights}
    kinds = {
        "optimizer": optimizer.variables,
        "seed": [variable for variable in model.variables if id(variable) not in weights],
        "weight": model.trainable_variables if optimizer.averages else [],
    }
    return {f"{kind}/{i:04d}": variable for kind, variables in kinds.items() for i, variable in enumerate(variables)}


def _read(path: Path) -> Arrays:
    with np.load(path) as archive:
        return dict(archive)
