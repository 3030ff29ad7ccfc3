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

    A checkpoint is *irregular* if it was written because of a signal or a rollback. All other checkpoints are
    *regular*: training writes one every `checkpoint_every` steps and one at the last step (see `Milestones`).
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(self, step: int, model: keras.Model, optimizer: AveragingOptimizer, facts: Mapping[str, Any]) -> Path:
        """Writes the checkpoint step-N, where N is `step`, and returns its path.

        The checkpoint has the moving averages of the weights if the optimizer keeps averages. `facts` are stored in
        `checkpoint.json`.

        Raises:
            OSError: The checkpoint cannot be written, for example on a full disk. Earlier checkpoints are unchanged.
        """
        averages = dict(zip((weight.path for weight in model.trainable_variables), optimizer.averages, strict=False))
        weights = {w.path: keras.ops.convert_to_numpy(averages.get(w.path, w)) for w in model.weights}
        state = {name: keras.ops.convert_to_numpy(value) for name, value in training_state(model, optimizer).items()}
        return write_checkpoint(self.step_path(step), step, {"weights.npz": weights, "state.npz": state}, facts)

    def prune(self, newest: int, best: Collection[int]) -> None:
        """Removes old checkpoints. Always keeps the most recent checkpoint, even if it is irregular.

        Args:
            newest: The number of regular checkpoints to keep, counted back from the most recent one.
            best: The steps whose checkpoints are also kept.
        """
        kept = {step for step, _ in self.in_turn()[-newest:]} | set(best)
        for step, path in self.steps()[:-1]:
            if step not in kept:
                remove_checkpoint(path)

    def steps(self) -> list[tuple[int, Path]]:
        """Returns the step and the path of each finished checkpoint, oldest first; the average is not included."""
        found = [(step_of(path), path) for path in self.path.glob("step-*")]
        return sorted((step, path) for step, path in found if step is not None)

    def in_turn(self) -> list[tuple[int, Path]]:
        """Returns the step and the path of each regular checkpoint, oldest first."""
        reasons = {STOPPED_BY, ROLLED_BACK_TO}
        return [(step, path) for step, path in self.steps() if reasons.isdisjoint(_described(path, "facts") or {})]

    def back_to(self, step: int) -> Checkpoint | None:
        """Returns the newest good checkpoint, and removes all checkpoints that are newer than it.

        A checkpoint is good if its step is at most `step`, its files are undamaged, and all its numbers are finite. If
        no checkpoint is good, removes all checkpoints and returns None.
        """
        for number, path in reversed(self.steps()):
            with suppress(DamagedCheckpoint):
                checkpoint = Checkpoint.open(path)
                if number <= step and checkpoint.is_finite():
                    return checkpoint
            remove_checkpoint(path)
        return None

    def set_aside(self, path: Path) -> Path:
        """Renames a damaged checkpoint to NAME.damaged, which `steps` does not list, and returns the new path."""
        aside = path.with_name(f"{path.name}.damaged")
        shutil.rmtree(aside, ignore_errors=True)
        return path.rename(aside)

    def clear_leftovers(self) -> None:
        """Removes checkpoints that a killed training left half written or half removed."""
        for path in self.path.glob(".step-*"):
            shutil.rmtree(path)

    def step_path(self, step: int) -> Path:
        """Returns the path of the checkpoint of `step`, whether it exists or not."""
        return self.path / f"step-{step:08d}"

    def average_path(self) -> Path:
        """Returns the path to which `nmt average` writes."""
        return self.path / "average"

    def average_is_fresh(self) -> bool:
        """True if there is an average, and training has written no checkpoint since the average was made."""
        made_at, steps = _described(self.average_path(), "step"), self.steps()
        return made_at is not None and bool(steps) and made_at >= steps[-1][0]


def _described(path: Path, key: str) -> Any:
    """Returns the entry `key` of `checkpoint.json` in a checkpoint's folder, or None if the entry cannot be read."""
    try:
        return json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))[key]
    except (OSError, ValueError, LookupError, TypeError):
        return None
