"""Opens or creates a run, checks that its configuration may be used to resume, and restores its last checkpoint."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_nmt.app.config import Configuration, nearest_preset
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs import step_lines
from keras_nmt.app.runs.checkpoints import DamagedCheckpoint, first_undamaged
from keras_nmt.app.runs.directory import RunDirectory, shard_checksums
from keras_nmt.app.runs.lock import locked
from keras_nmt.app.runtime.console import say
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import Manifest

# A run may resume with other values of these settings. All other settings must stay the same.
MAY_CHANGE = {
    *("steps", "checkpoint_every", "keep_checkpoints", "keep_best", "best_by", "patience", "dev_sentences"),
    *("accumulation", "deterministic"),
    *("spike_factor", "storm_steps", "max_rollbacks"),
}


@contextmanager
def locked_run(
    out: Path, configuration: Configuration, data: Manifest, facts: Mapping[str, Any]
) -> Iterator[RunDirectory]:
    """Opens or creates the run in `out`, and locks it against other trainings inside the context.

    Args:
        out: The folder of the run.
        configuration: The configuration with which to start or resume.
        data: The data to train on.
        facts: Further entries of the manifest of a new run.

    Raises:
        UserError: The folder cannot be used for this run, or another training is writing to it.
    """
    require_free_or_run(out)
    with locked(out):
        yield open_or_create(out, configuration, data, facts)


def require_free_or_run(out: Path) -> None:
    """Raises `UserError` unless the folder is a run, or a new run can be created in it."""
    if not (RunDirectory.is_run(out) or RunDirectory.can_be_created(out)):
        raise UserError(f"{out} exists and is not a run of `nmt train`; choose another --out")


def open_or_create(out: Path, configuration: Configuration, data: Manifest, facts: Mapping[str, Any]) -> RunDirectory:
    """Opens the run in `out` if it has a checkpoint, else creates a new run. A run without checkpoints is replaced.

    Raises:
        UserError: The run was trained on other data, or a setting that must stay the same differs.
    """
    run = RunDirectory.open(out) if RunDirectory.is_run(out) else None
    if not (run and run.checkpoints.steps()):  # no checkpoint to lose: start over, even with other settings or data
        return RunDirectory.create(out, configuration, data, facts)
    if run.manifest["vocabulary_digest"] != data.vocabulary_digest:
        raise UserError(
            f"wrong vocabulary for the data: {out} was trained with another vocabulary than that of "
            f"{data.data_dir}; choose another --out"
        )
    if run.manifest["data"] != shard_checksums(data):
        raise UserError(f"{out} was trained on other data than {data.data_dir} holds now; choose another --out")
    _require_same_settings(run, configuration)
    return run.with_configuration(configuration)


def _require_same_settings(run: RunDirectory, configuration: Configuration) -> None:
    """Raises `UserError` if a setting that must stay the same differs from the run's."""
    before, now = run.configuration.as_sections(), configuration.as_sections()
    # With a cosine schedule, all learning rates depend on the last step.
    may_change = MAY_CHANGE - ({"steps"} if configuration.training.schedule == "cosine" else set())
    differing = {
        f"{section}.{key}": (value, now[section][key])
        for section in ("model", "training")
        for key, value in before[section].items()
        if value != now[section][key] and key not in may_change
    }
    if not differing:
        return
    was = ", ".join(f"{name} = {value}, not {other}" for name, (value, other) in differing.items())
    settings = " ".join(f"--set {name}={value}" for name, (value, _) in differing.items())
    message = f"{run.path} was started with {was}; resume with {settings}, or choose another --out"
    if "training.steps" in differing:
        message += (
            " (a cosine schedule's rates depend on the last step; "
            f"--warm-start {run.path} starts a new training from its weights)"
        )
    preset = nearest_preset(before)
    if preset != nearest_preset(now):
        message += f"; it looks like a run of --preset {preset}"
    raise UserError(message)


def with_earlier_accumulation(configuration: Configuration, out: Path) -> Configuration:
    """Replaces accumulation = 0 by the value of the run in `out`, if there is a run and training must be deterministic.

    Without this replacement, the number of parts of a batch would depend on the memory that is free now. Another number
    of parts than before would change the last bits of the result.
    """
    settings = configuration.training
    if not (settings.deterministic and settings.accumulation == 0 and RunDirectory.is_run(out)):
        return configuration
    before = RunDirectory.open(out).configuration.training.accumulation
    return replace(configuration, training=replace(settings, accumulation=before))


def restore_latest(run: RunDirectory, trainer: Trainer) -> int:
    """Restores the newest undamaged checkpoint, and returns its step. Returns 0 if the run has no checkpoint.

    Also renames the newer checkpoints, all of which are damaged, and removes the lines of later steps from
    `metrics.jsonl` and `dev.jsonl`.

    Raises:
        UserError: The run has checkpoints, but all are damaged.
    """
    folder = run.checkpoints
    folder.clear_leftovers()
    if paths := [path for _, path in reversed(folder.steps())]:
        try:
            newest, damaged = first_undamaged(paths)
        except DamagedCheckpoint as all_damaged:
            message = f"{all_damaged}, and no other is undamaged; remove {folder.path} to start over"
            raise UserError(message) from all_damaged
        newest.restore(trainer.transformer, trainer.optimizer)
        trainer.step = newest.step
        for error in damaged:
            say(f"{error}; renamed it to {folder.set_aside(error.path).name}, resuming from step {newest.step}")
    for name in ("metrics.jsonl", "dev.jsonl"):
        step_lines.cut_after(run.path / name, trainer.step)
    return trainer.step
