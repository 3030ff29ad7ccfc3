"""Which of a run's checkpoints to translate with, and which to average."""

from pathlib import Path

from app.errors import UserError
from app.runs.checkpoints import Checkpoint, first_whole
from app.runs.directory import RunDirectory
from app.runtime.console import say


def choose(run: RunDirectory, choice: str | None = None) -> Checkpoint:
    """What to translate with; where a choice leaves several, a damaged one is said and passed over.

    Args:
        run: Of `nmt train`.
        choice: "best" on the dev set, "last", "average" or a step. None is the average if it was made since the newest
            step, else the newest step.

    Raises:
        UserError: There is no such checkpoint, or it is damaged.
    """
    found, damaged = first_whole(_candidates(run, choice))
    for error in damaged:
        say(f"{error}; using {found.path.name} instead")
    return found


def newest(run: RunDirectory, count: int) -> list[Path]:
    """The newest `count` checkpoints, oldest first; none that a signal asked for out of turn.

    Raises:
        UserError: There are fewer.
    """
    there = [path for _, path in run.checkpoints.in_turn()][-run.configuration.training.keep_checkpoints :]
    return _enough(run, there, "--last", count, "keep_checkpoints")[-count:]


def best(run: RunDirectory, count: int) -> list[Path]:
    """The best `count` on the dev set of the checkpoints that are there, the best first.

    Raises:
        UserError: There are fewer.
    """
    return _enough(run, _best_first(run), "--best", count, "keep_best")[:count]


def _best_first(run: RunDirectory) -> list[Path]:
    there = dict(run.checkpoints.steps())
    return [there[step] for step in run.ranked_steps() if step in there]


def _enough(run: RunDirectory, there: list[Path], option: str, count: int, setting: str) -> list[Path]:
    if len(there) < count:
        evaluated = "evaluated " if option == "--best" else ""
        raise UserError(
            f"{run.checkpoints.path} has {len(there)} {evaluated}checkpoint(s), fewer than {option} {count}; "
            f"train on, or keep more with --set training.{setting}"
        )
    return there


def _candidates(run: RunDirectory, choice: str | None) -> list[Path]:
    """The checkpoints that a choice allows, at least one, the first to be preferred."""
    folder = run.checkpoints
    steps = dict(reversed(folder.steps()))
    if not steps:
        raise UserError(f"{run.path} has no checkpoint yet; train it further with the same `nmt train` command")
    average = [folder.average_path()] if folder.average_path().is_dir() else []
    known = {"last": list(steps.values()), "best": _best_first(run), "average": average}
    if choice is None:
        return [*(average if folder.average_is_fresh() else []), *known["last"]]
    chosen = known.get(choice) or [path for step, path in steps.items() if choice == str(step)]
    if not chosen:
        there = ", ".join([*(name for name, paths in known.items() if paths), *map(str, sorted(steps))])
        raise UserError(f"{run.path} has no checkpoint {choice}; it has {there}")
    return chosen
