"""The course of a training, thinned for a picture."""

import json
import math
from pathlib import Path

import pytest

from keras_nmt.app.inside.history import dev_by_step, loss_by_step
from tests.app.inside.small_run import SmallRun


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A run without a step. Tests do not write to it."""
    return SmallRun(tmp_path_factory.mktemp("small") / "run")


@pytest.fixture
def small(untrained: SmallRun, tmp_path: Path) -> SmallRun:
    """A copy of the run, to write to."""
    return untrained.copied(tmp_path / "run")


def written(small: SmallRun, name: str, lines: list[dict[str, float]]) -> SmallRun:
    (small.run.path / name).write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return small


@pytest.mark.parametrize(("steps", "points"), [(0, 0), (1, 1), (500, 500), (501, 251), (1203, 401)])
def test_the_loss_has_at_most_500_points(small: SmallRun, steps: int, points: int) -> None:
    lines = [{"step": step, "loss": 10.0 / step} for step in range(1, steps + 1)]
    found = loss_by_step(written(small, "metrics.jsonl", lines).run)
    assert len(found["step"]) == len(found["loss"]) == points
    if steps:
        assert found["step"][-1] == steps
        stride = found["step"][0]
        first = [10.0 / step for step in range(1, stride + 1)]
        assert found["loss"][0] == pytest.approx(sum(first) / stride)
        assert sum(found["loss"]) / points == pytest.approx(sum(line["loss"] for line in lines) / steps, rel=0.01)


def test_losses_that_are_not_finite_are_left_out(small: SmallRun) -> None:
    losses = [1.0, math.nan, math.inf, math.nan, 2.0]
    lines = [{"step": step, "loss": loss} for step, loss in enumerate(losses, start=1)]
    written(small, "metrics.jsonl", lines)
    assert loss_by_step(small.run, most=3) == {"step": [2, 4, 5], "loss": [1.0, None, 2.0]}
    assert loss_by_step(small.run)["loss"] == [1.0, None, None, None, 2.0]


def test_dev_results_are_columns(small: SmallRun) -> None:
    lines = [
        {"step": 10, "dev_loss": 3.0},
        {"step": 20, "dev_loss": math.nan, "dev_bleu": 4.0},
        {"step": 30, "dev_loss": 1.0, "dev_bleu": 5.0},
    ]
    assert dev_by_step(small.run) == {"step": []}
    found = dev_by_step(written(small, "dev.jsonl", lines).run)
    assert found == {"step": [10, 20, 30], "dev_loss": [3.0, None, 1.0], "dev_bleu": [None, 4.0, 5.0]}
