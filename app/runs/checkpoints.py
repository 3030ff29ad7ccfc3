"""Checkpoints: what a run needs to go on, and weights to translate with.

A checkpoint is a folder of NumPy archives, so that any program can read the weights: `weights.npz` by the weight's
path in the model (their moving averages, where the run keeps such), `state.npz` with the optimizer and the random
seeds in their order and the weights that learn where `weights.npz` has their averages, `checkpoint.json` with the step,
facts about it and a checksum of each file. It is written aside and renamed: a folder with the right name is whole,
unless it was damaged later, which its checksums tell.
"""

import json
import os
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import keras
import numpy as np

from app.errors import UserError
from pipelines.shards.manifest import sha256_of

Arrays = dict[str, np.ndarray[Any, Any]]
DESCRIPTION = "checkpoint.json"
STOPPED_BY = "stopped_by"  # the fact of a checkpoint that a signal asked for, out of turn
IMPORTED = "imported"  # the fact of one that this program did not train, and what it is
ROLLED_BACK_TO = "rolled_back_to"  # the fact of one that holds the weights of an earlier step, and of which


class AveragingOptimizer(Protocol):
    """An optimizer that can keep moving averages of the weights."""

    variables: list[keras.Variable]

    @property
    def averages(self) -> list[keras.Variable]:
        """The averages in the order of the weights; empty where none are kept."""


class DamagedCheckpoint(UserError):
    """A checkpoint's folder does not hold what was written."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is damaged: {what}")
        self.path = path


@dataclass(frozen=True)
class Checkpoint:
    """One finished checkpoint: its folder, its step, and facts such as `averaged` or `stopped_by`."""

    path: Path
    step: int
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Reads the description and holds each file to its checksum.

        Raises:
            DamagedCheckpoint: A file is missing, or was changed since it was written.
        """
        try:
            description = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
            checkpoint = cls(path, int(description["step"]), dict(description["facts"]))
            wrong = [name for name, digest in description["sha256"].items() if sha256_of(path / name) != digest]
        except OSError as error:
            name = Path(error.filename or "").name
            raise DamagedCheckpoint(path, f"{name} {(error.strerror or 'cannot be read').lower()}") from error
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise DamagedCheckpoint(path, f"{DESCRIPTION} cannot be read") from error
        if wrong:
            raise DamagedCheckpoint(path, f"{wrong[0]} has another checksum than when it was written")
        if _step_of(path) not in (None, checkpoint.step):
            raise DamagedCheckpoint(path, f"{DESCRIPTION} is that of step {checkpoint.step}")
        return checkpoint

    def weights(self) -> Arrays:
        """The weights by path."""
        return _read(self.path / "weights.npz")

    @property
    def weights_digest(self) -> str:
        """The SHA-256 of the weights, by which two checkpoints of the same step differ."""
        return sha256_of(self.path / "weights.npz")

    def is_finite(self) -> bool:
        """Whether all weights and all that training needs are numbers."""
        arrays = [*self.weights().values(), *_read(self.path / "state.npz").values()]
        return all(np.isfinite(array).all() for array in arrays)

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

    def restore(self, model: keras.Model, optimizer: AveragingOptimizer) -> None:
        """Puts back weights, optimizer and seeds; the optimizer must be built."""
        self.load_weights(model)
        arrays = _read(self.path / "state.npz")
        for name, variable in _state(model, optimizer).items():
            variable.assign(arrays[name])


class CheckpointFolder:
    """The `checkpoints/` of a run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, step: int, model: keras.Model, optimizer: AveragingOptimizer, facts: Mapping[str, Any]) -> Path:
        """Writes step-N.

        Raises:
            OSError: It cannot be written, as on a full disk; the earlier checkpoints are as they were.
        """
        averages = dict(zip((weight.path for weight in model.trainable_variables), optimizer.averages, strict=False))
        weights = {w.path: keras.ops.convert_to_numpy(averages.get(w.path, w)) for w in model.weights}
        state = {name: keras.ops.convert_to_numpy(variable) for name, variable in _state(model, optimizer).items()}
        return write_checkpoint(self.step_path(step), step, {"weights.npz": weights, "state.npz": state}, facts)

    def prune(self, newest: int, best: Collection[int]) -> None:
        """Removes all but the newest `newest`, the steps `best`, and the very newest if it was written out of turn."""
        kept = {step for step, _ in self.in_turn()[-newest:]} | set(best)
        for step, path in self.steps()[:-1]:
            if step not in kept:
                _remove(path)

    def steps(self) -> list[tuple[int, Path]]:
        """The finished checkpoints of the run itself, oldest first."""
        found = [(_step_of(path), path) for path in self.path.glob("step-*")]
        return sorted((step, path) for step, path in found if step is not None)

    def in_turn(self) -> list[tuple[int, Path]]:
        """Those written because it was their time, oldest first; none that a signal or a divergence asked for."""
        reasons = {STOPPED_BY, ROLLED_BACK_TO}
        return [(step, path) for step, path in self.steps() if reasons.isdisjoint(_described(path, "facts") or {})]

    def back_to(self, step: int) -> Checkpoint | None:
        """The newest whole checkpoint with finite values up to a step, if there is one; removes those after it."""
        for number, path in reversed(self.steps()):
            with suppress(DamagedCheckpoint):
                checkpoint = Checkpoint.open(path)
                if number <= step and checkpoint.is_finite():
                    return checkpoint
            _remove(path)
        return None

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged checkpoint, so that it is none any more, and gives its new path."""
        aside = path.with_name(f"{path.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        return path.rename(aside)

    def clear_leftovers(self) -> None:
        """Removes what a killed training had begun to write or to remove."""
        for path in self.path.glob(".step-*"):
            shutil.rmtree(path)

    def step_path(self, step: int) -> Path:
        """Where the checkpoint of a step is."""
        return self.path / f"step-{step:08d}"

    def average_path(self) -> Path:
        """Where `nmt average` puts its result."""
        return self.path / "average"

    def average_is_fresh(self) -> bool:
        """Whether there is an average, made since the newest step."""
        made_at, steps = _described(self.average_path(), "step"), self.steps()
        return made_at is not None and bool(steps) and made_at >= steps[-1][0]


def first_whole(paths: Sequence[Path]) -> tuple[Checkpoint, list[DamagedCheckpoint]]:
    """The first of one or more checkpoints that is not damaged, and what is wrong with those before it.

    Raises:
        DamagedCheckpoint: All are damaged; it is the first.
    """
    damaged: list[DamagedCheckpoint] = []
    for path in paths:
        try:
            return Checkpoint.open(path), damaged
        except DamagedCheckpoint as error:
            damaged.append(error)
    raise damaged[0]


def write_average(folder: CheckpointFolder, paths: Sequence[Path]) -> Path:
    """Writes the average of these checkpoints into the folder and gives its path.

    Raises:
        DamagedCheckpoint: One of them is damaged.
        OSError: It cannot be written.
    """
    chosen = [Checkpoint.open(path) for path in paths]
    facts = {"averaged": sorted(checkpoint.step for checkpoint in chosen)}
    made_at = folder.steps()[-1][0]
    return write_checkpoint(folder.average_path(), made_at, {"weights.npz": average(chosen)}, facts)


def average(checkpoints: Sequence[Checkpoint]) -> Arrays:
    """The mean of the checkpoints' weights, taken in float64 (Vaswani et al. 2017, section 6.1)."""
    total: Arrays = {}
    for checkpoint in checkpoints:
        for name, array in checkpoint.weights().items():
            total[name] = total.get(name, np.zeros(array.shape, np.float64)) + array
    return {name: (array / len(checkpoints)).astype(np.float32) for name, array in total.items()}


def write_checkpoint(path: Path, step: int, files: Mapping[str, Arrays], facts: Mapping[str, Any]) -> Path:
    """Writes the archives and their description beside `path`, then renames; replaces what is there.

    Raises:
        OSError: It cannot be written; the error names `path`, and what was there is as it was.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name, arrays in files.items():
            with (partial / name).open("wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
                _sync(file)
        digests = {name: sha256_of(partial / name) for name in files}
        with (partial / DESCRIPTION).open("w", encoding="utf-8") as text:
            text.write(json.dumps({"step": step, "facts": dict(facts), "sha256": digests}, indent=1) + "\n")
            _sync(text)
        if path.exists():
            _remove(path)
        partial.rename(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return path


def _sync(file: IO[Any]) -> None:
    """Has the file's content on the disk, before a name promises that it is there."""
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _remove(path: Path) -> None:
    """Takes a checkpoint away; one that is half removed does not have its name any more."""
    removed = path.with_name(f".{path.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    path.rename(removed)
    shutil.rmtree(removed)


def _step_of(path: Path) -> int | None:
    """N of step-N; None for other names."""
    match = re.fullmatch(r"step-(\d+)", path.name)
    return int(match[1]) if match else None


def _described(path: Path, key: str) -> Any:
    """One entry of a checkpoint's description; None if there is none or it cannot be read."""
    try:
        return json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _state(model: keras.Model, optimizer: AveragingOptimizer) -> dict[str, keras.Variable]:
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
