"""The course of a training for a picture: its loss by step, thinned, and its results on the dev set."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keras_nmt.app.runs import step_lines
from keras_nmt.app.runs.directory import RunDirectory

MOST_POINTS = 500

Columns = dict[str, list[Any]]


def loss_by_step(run: RunDirectory, most: int = MOST_POINTS) -> Columns:
    """Returns the training loss of a run as the columns "step" and "loss", in nats a token, of at most `most` points.

    A point is the mean loss of some steps in a row, at the last of them; for a short training, of one step. Losses that
    are not finite are left out of the mean; a point of only such losses is None.
    """
    lines = step_lines.read(run.path / "metrics.jsonl")
    stride = max(1, math.ceil(len(lines) / most))
    parts = [lines[first : first + stride] for first in range(0, len(lines), stride)]
    return {"step": [part[-1]["step"] for part in parts], "loss": [_mean_loss(part) for part in parts]}


def dev_by_step(run: RunDirectory) -> Columns:
    """Returns the results on the dev set as columns: "step", and each result by its name, such as "dev_bleu".

    A result that a step does not have, or that is not finite, is None. Without evaluations, all columns are empty.
    """
    results = run.dev_results()
    names = dict.fromkeys(name for line in results.values() for name in line if name != "step")
    columns: Columns = {"step": list(results)}
    return columns | {name: [_finite(line.get(name)) for line in results.values()] for name in names}


def _mean_loss(lines: Sequence[Mapping[str, Any]]) -> float | None:
    losses = [loss for line in lines if (loss := _finite(line["loss"])) is not None]
    return sum(losses) / len(losses) if losses else None


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None
