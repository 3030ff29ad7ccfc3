"""Chooses the checkpoint to translate with, and the checkpoints to average."""

from pathlib import Path

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.checkpoints import Checkpoint, first_undamaged
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say


def choose_checkpoint(run: RunDirectory, choice: str | None = None) -> Checkpoint:
    """Returns the checkpoint to translate with: the first undamaged one of the checkpoints that `choice` allows.

    If damaged checkpoints were skipped, prints a message for each.

    Args:
        run: The run.
        choice: "best" (best on the dev set first), "last" (newest first), "average" or a step such as "5000". None
            means the same as "last", but the average comes first if it was made after the newest checkpoint.

    Raises:
        UserError: `choice` allows no checkpoint, or all allowed checkpoints are damaged.
    """
    found, damaged = first_undamaged(_candidates(run, choice))
    for error in damaged:
        say(f"{error}; using {found.path.name} instead")
    return found


def newest(run: RunDirectory, count: int) -> list[Path]:
    """Returns the paths of the `count` newest regular checkpoints (see `CheckpointFolder`), oldest first.

    Raises:
        UserError: `count` is larger than the setting `keep_checkpoints`, or there are fewer regular checkpoints.
    """
    kept = [path for _, path in run.checkpoints.in_turn()][-run.configuration.training.keep_checkpoints :]
    return _at_least(run, kept, "--last", count, "keep_checkpoints")[-count:]


def best(run: RunDirectory, count: int) -> list[Path]:
    """Returns the paths of the `count` existing checkpoints with the best results on the dev set, best first.

    Raises:
        UserError: Fewer than `count` evaluated checkpoints exist.
    """
    return _at_least(run, _best_first(run), "--best", count, "keep_best")[:count]


def _best_first(run: RunDirectory) -> list[Path]:
    kept = dict(run.checkpoints.steps())
    return [kept[step] for step in run.ranked_steps() if step in kept]


def _at_least(run: RunDirectory, kept: list[Path], option: str, count: int, setting: str) -> list[Path]:
    """Returns `kept`; raises `UserError` if it has fewer than `count` checkpoints.

    `option` is the command-line option that asks for the checkpoints, and `setting` is the setting that keeps more. The
    message names both.
    """
    if len(kept) < count:
        evaluated = "evaluated " if option == "--best" else ""
        raise UserError(
            f"{run.checkpoints.path} has {len(kept)} {evaluated}checkpoint(s), fewer than {option} {count}; "
            f"train further, or keep more with --set training.{setting}"
        )
    return kept


def _candidates(run: RunDirectory, choice: str | None) -> list[Path]:
    """Returns the paths that `choice` allows, in order of preference; raises `UserError` if there are none."""
    folder = run.checkpoints
    steps = dict(reversed(folder.steps()))
    if not steps:
        raise UserError(f"{run.path} has no checkpoint yet; resume it with the same `nmt train` command")
    average = [folder.average_path()] if folder.average_path().is_dir() else []
    known = {"last": list(steps.values()), "best": _best_first(run), "average": average}
    if choice is None:
        return [*(average if folder.average_is_fresh() else []), *known["last"]]
    chosen = known.get(choice) or [path for step, path in steps.items() if choice == str(step)]
    if not chosen:
        existing = ", ".join([*(name for name, paths in known.items() if paths), *map(str, sorted(steps))])
        raise UserError(f"{run.path} has no checkpoint {choice}; it has {existing}")
    return chosen
