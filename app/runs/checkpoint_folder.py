"""The `checkpoints/` folder of a run: lists, saves and prunes the checkpoints, and names their paths."""

import json
import shutil
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import keras

from keras_nmt.app.runs.checkpoints import (
    DESCRIPTION,
    ROLLED_BACK_TO,
    STOPPED_BY,
    AveragingOptimizer,
    Checkpoint,
    DamagedCheckpoint,
    remove_checkpoint,
    step_of,
    training_state,
    write_checkpoint,
)


class CheckpointFolder:
    """The finished checkpoints of a run, named step-N, and the average that `nmt average` writes.

    A checkpoint is *in turn* if training wrote it at a regular time (see `Milestones`). It is *out of turn* if a signal
    or a rollback caused it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, step: int, model: keras.Model, optimizer: AveragingOptimizer, facts: Mapping[str, Any]) -> Path:
        """Writes the checkpoint step-N.

        Raises:
            OSError: The checkpoint cannot be written, for example on a full disk. Earlier checkpoints are unchanged.
        """
        averages = dict(zip((weight.path for weight in model.trainable_variables), optimizer.averages, strict=False))
        weights = {w.path: keras.ops.convert_to_numpy(averages.get(w.path, w)) for w in model.weights}
        state = {name: keras.ops.convert_to_numpy(value) for name, value in training_state(model, optimizer).items()}
        return write_checkpoint(self.step_path(step), step, {"weights.npz": weights, "state.npz": state}, facts)

    def prune(self, newest: int, best: Collection[int]) -> None:
        """Removes old checkpoints.

        Keeps the `newest` newest checkpoints in turn and those of the steps in `best`. Also keeps the newest checkpoint
        if it is out of turn.
        """
        kept = {step for step, _ in self.in_turn()[-newest:]} | set(best)
        for step, path in self.steps()[:-1]:
            if step not in kept:
                remove_checkpoint(path)

    def steps(self) -> list[tuple[int, Path]]:
        """Returns the step and path of each finished checkpoint, oldest first; the average is not included."""
        found = [(step_of(path), path) for path in self.path.glob("step-*")]
        return sorted((step, path) for step, path in found if step is not None)

    def in_turn(self) -> list[tuple[int, Path]]:
        """Returns the step and path of each checkpoint in turn, oldest first."""
        reasons = {STOPPED_BY, ROLLED_BACK_TO}
        return [(step, path) for step, path in self.steps() if reasons.isdisjoint(_described(path, "facts") or {})]

    def back_to(self, step: int) -> Checkpoint | None:
        """Returns the newest checkpoint up to `step` that is undamaged and finite, and removes all newer checkpoints.

        Returns None if there is no such checkpoint; then all checkpoints are removed.
        """
        for number, path in reversed(self.steps()):
            with suppress(DamagedCheckpoint):
                checkpoint = Checkpoint.open(path)
                if number <= step and checkpoint.is_finite():
                    return checkpoint
            remove_checkpoint(path)
        return None

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged checkpoint so that it no longer counts as a checkpoint, and returns the new path."""
        aside = path.with_name(f"{path.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        return path.rename(aside)

    def clear_leftovers(self) -> None:
        """Removes checkpoints that a killed training left half written or half removed."""
        for path in self.path.glob(".step-*"):
            shutil.rmtree(path)

    def step_path(self, step: int) -> Path:
        """Returns the path of a step's checkpoint."""
        return self.path / f"step-{step:08d}"

    def average_path(self) -> Path:
        """Returns the path to which `nmt average` writes."""
        return self.path / "average"

    def average_is_fresh(self) -> bool:
        """True if there is an average, and training has written no checkpoint since the average was made."""
        made_at, steps = _described(self.average_path(), "step"), self.steps()
        return made_at is not None and bool(steps) and made_at >= steps[-1][0]


def _described(path: Path, key: str) -> Any:
    """Returns one entry of a checkpoint's description, or None if it is missing or unreadable."""
    try:
        return json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError, TypeError):
        return None
