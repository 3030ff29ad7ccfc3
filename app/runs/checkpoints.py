"""One checkpoint: the weights to translate with, and the state from which training resumes.

A checkpoint is a folder with a JSON file and NumPy archives that any program can read:

    weights.npz      the weights by their path in the model, or their moving averages if the run keeps averages
    state.npz        the optimizer's variables and the random seeds, and also the raw weights if there are averages
    checkpoint.json  the step, the "facts" (entries such as `stopped_by`), and the SHA-256 of each archive

The folder is written under another name and then renamed. So a folder with the final name is always complete. The
checksums show whether a file was damaged later.
"""

import json
import os
import re
import shutil
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import keras
import numpy as np

from keras_nmt.app.errors import UserError
from keras_nmt.pipelines.atomic_files import atomic_folder
from keras_nmt.pipelines.shards.manifest import sha256_of

Arrays = dict[str, np.ndarray[Any, Any]]
DESCRIPTION = "checkpoint.json"
STOPPED_BY = "stopped_by"  # fact: a signal caused this checkpoint; the value is the signal's name
IMPORTED = "imported"  # fact: another program trained the model; the value is the model's name
ROLLED_BACK_TO = "rolled_back_to"  # fact: a rollback restored the weights of an earlier step; the value is that step
ADDED = ("copy_attention/continuation",)  # weights that earlier versions did not have; with 0 they change nothing


class AveragingOptimizer(Protocol):
    """An optimizer that may keep moving averages of the weights."""

    variables: list[keras.Variable]

    @property
    def averages(self) -> list[keras.Variable]:
        """The averages in the order of the weights; empty if the optimizer keeps none."""


class DamagedCheckpoint(UserError):
    """The error raised if a file of a checkpoint is missing or has changed since it was written."""

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{path} is damaged: {what}")
        self.path = path


@dataclass(frozen=True)
class Checkpoint:
    """A finished checkpoint: its folder, its step, and the "facts" of its `checkpoint.json`, such as `stopped_by`."""

    path: Path
    step: int
    facts: Mapping[str, Any]

    @classmethod
    def open(cls, path: Path) -> "Checkpoint":
        """Opens a checkpoint: reads `checkpoint.json`, and compares each archive with its checksum.

        Raises:
            DamagedCheckpoint: A file is missing or has changed since it was written.
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
        if step_of(path) not in (None, checkpoint.step):
            raise DamagedCheckpoint(path, f"{DESCRIPTION} is that of step {checkpoint.step}")
        return checkpoint

    def weights(self) -> Arrays:
        """Returns the weights by their path in the model."""
        return read_arrays(self.path / "weights.npz")

    @property
    def weights_digest(self) -> str:
        """The SHA-256 of `weights.npz`, which distinguishes two checkpoints of the same step."""
        return sha256_of(self.path / "weights.npz")

    def is_finite(self) -> bool:
        """True if no weight and no part of the training state is NaN or infinite."""
        arrays = [*self.weights().values(), *read_arrays(self.path / "state.npz").values()]
        return all(np.isfinite(array).all() for array in arrays)

    def load_weights(self, model: keras.Model) -> None:
        """Assigns the weights to a built model of the same shape; see `assign_weights`."""
        assign_weights(model, self.weights(), self.path)

    def restore(self, model: keras.Model, optimizer: AveragingOptimizer) -> None:
        """Assigns the stored weights and seeds to a built model, and the stored variables to a built optimizer.

        Raises:
            UserError: The model has other weights, or the checkpoint was written before the model had all of them.
        """
        weights = self.weights()
        check_resumable(model, weights, self.path)
        assign_weights(model, weights, self.path)
        arrays = read_arrays(self.path / "state.npz")
        for name, variable in training_state(model, optimizer).items():
            variable.assign(arrays[name])


def first_undamaged(paths: Sequence[Path]) -> tuple[Checkpoint, list[DamagedCheckpoint]]:
    """Returns the first undamaged checkpoint, and the errors of the damaged checkpoints before it.

    Raises:
        DamagedCheckpoint: All checkpoints are damaged; the error is that of the first one.
    """
    damaged: list[DamagedCheckpoint] = []
    for path in paths:
        try:
            return Checkpoint.open(path), damaged
        except DamagedCheckpoint as error:
            damaged.append(error)
    raise damaged[0]


def write_checkpoint(path: Path, step: int, files: Mapping[str, Arrays], facts: Mapping[str, Any]) -> Path:
    """Writes the archives and `checkpoint.json` into a temporary folder, and renames the folder to `path`.

    Args:
        path: The checkpoint's folder; an earlier checkpoint at this path is replaced.
        step: The training step.
        files: The arrays of each archive, by the archive's name.
        facts: The entries of "facts" in `checkpoint.json`; values that JSON can hold.

    Returns:
        `path`.

    Raises:
        OSError: The checkpoint cannot be written; the error names `path`. An earlier checkpoint is unchanged.
    """
    try:
        with atomic_folder(path) as folder:
            for name, arrays in files.items():
                with (folder / name).open("wb") as file:
                    np.savez(file, **arrays)  # type: ignore[arg-type]
                    _sync(file)
            digests = {name: sha256_of(folder / name) for name in files}
            with (folder / DESCRIPTION).open("w", encoding="utf-8") as text:
                text.write(json.dumps({"step": step, "facts": dict(facts), "sha256": digests}, indent=1) + "\n")
                _sync(text)
            if path.exists():
                remove_checkpoint(path)
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    return path


def _sync(file: IO[Any]) -> None:
    """Flushes the file to disk. Otherwise, after a power cut, a checkpoint with its final name could be incomplete."""
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(path: Path) -> None:
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def remove_checkpoint(path: Path) -> None:
    """Renames a checkpoint, then deletes it, so that a half-deleted folder never has a checkpoint's name."""
    removed = path.with_name(f".{path.name}.removed")
    shutil.rmtree(removed, ignore_errors=True)
    path.rename(removed)
    shutil.rmtree(removed)


def step_of(path: Path) -> int | None:
    """Returns N if the folder's name is step-N, else None."""
    match = re.fullmatch(r"step-(\d+)", path.name)
    return int(match[1]) if match else None


def training_state(model: keras.Model, optimizer: AveragingOptimizer) -> dict[str, keras.Variable]:
    """Returns the variables that `state.npz` stores, by name.

    A name is the variable's kind ("optimizer", "seed" or "weight") and its number among the variables of this kind, as
    in "seed/0001". There are "weight" variables only if the optimizer keeps averages.
    """
    weights = {id(weight) for weight in model.weights}
    kinds = {
        "optimizer": optimizer.variables,
        "seed": [variable for variable in model.variables if id(variable) not in weights],
        "weight": model.trainable_variables if optimizer.averages else [],
    }
    return {f"{kind}/{i:04d}": variable for kind, variables in kinds.items() for i, variable in enumerate(variables)}


def check_resumable(model: keras.Model, arrays: Arrays, origin: Path) -> None:
    """Raises a `UserError` if a checkpoint was written before the model had all its weights; see `assign_weights`.

    Such a checkpoint has the optimizer's variables of fewer weights.
    """
    for weight in model.weights:
        if weight.path.endswith(ADDED) and weight.path not in arrays:
            raise UserError(
                f"{origin} was written before models had {weight.path}; it can be used, but its training cannot be "
                "resumed; start another run with warm_start"
            )


def assign_weights(model: keras.Model, arrays: Arrays, origin: Path) -> None:
    """Assigns the weights of a checkpoint to a built model of the same shape.

    Args:
        model: The model.
        arrays: The weights by their path in the model.
        origin: The checkpoint's folder, for the message of an error.

    Raises:
        UserError: The model has other weights; the message names the first weight that differs.
    """
    for weight in model.weights:
        array = arrays.get(weight.path)
        if array is None and weight.path.endswith(ADDED):
            array = np.zeros(weight.shape, np.float32)
        if array is None or array.shape != tuple(weight.shape):
            found = "nothing" if array is None else list(array.shape)
            wanted = list(weight.shape)
            raise UserError(f"{origin}: expected {weight.path} of shape {wanted}, found {found}")
        weight.assign(array)


def read_arrays(path: Path) -> Arrays:
    """Returns the arrays of a NumPy archive, by name.

    Raises:
        FileNotFoundError: There is no such file.
        DamagedCheckpoint: The file is not a complete archive.
    """
    try:
        with path.open("rb") as file, np.load(file) as archive:
            return dict(archive)
    except (ValueError, zipfile.BadZipFile, EOFError) as error:
        raise DamagedCheckpoint(path.parent, f"{path.name} cannot be read") from error
