"""`nmt train --minutes`: the chosen numbers, and a run that equals one with the same numbers and no time limit."""

import json
import shutil
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_nmt.app.commands.demo.command import train_sample
from keras_nmt.app.commands.demo.known import DEMOS
from keras_nmt.app.config import TrainingConfig, load_configuration
from keras_nmt.app.errors import UserError
from keras_nmt.app.training.planning import plan as planning
from keras_nmt.app.training.planning import time_budget
from keras_nmt.app.training.planning.time_budget import Measured, TimeBudget, settings_within
from tests.app.command_line import TINY, Done, nmt, refusal, succeeded

pytestmark = pytest.mark.usefixtures("traced_once")
CHOSEN = ("training.steps", "training.warmup_steps", "training.checkpoint_every")
SETTINGS = [setting for setting in TINY if not setting.startswith(CHOSEN)]
SETTINGS += ["training.schedule=cosine", "training.learning_rate=0.01", "training.deterministic=true"]
SETTINGS += ["training.optimizer=muon"]
MEASURED = Measured(target_tokens_per_second=4321.4, step_seconds=0.5, start_seconds=10.0, evaluation_seconds=4.0)
SHORT = TrainingConfig(steps=1000, checkpoint_every=200, warmup_steps=100)


def train(data: Path, out: Path, *options: str) -> Done:
    settings = [part for setting in SETTINGS for part in ("--set", setting)]
    return nmt("train", data, "--out", out, "--preset", "tiny", *settings, *options)


def state(run: Path, step: int) -> dict[str, Any]:
    with np.load(run / "checkpoints" / f"step-{step:08}" / "state.npz") as arrays:
        return dict(arrays)


def without_seconds(run: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in lines]


@pytest.fixture(scope="module")
def timed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A run of half a minute with a fixed speed in place of the measured one."""

    def measured(*arguments: Any) -> tuple[Measured, TrainingConfig]:
        found, settings = measure(*arguments)
        assert found.step_seconds * found.target_tokens_per_second == pytest.approx(800, rel=0.1)
        assert min(found.start_seconds, found.evaluation_seconds) > 0
        return MEASURED, settings

    out, measure = tmp_path_factory.mktemp("timed") / "run", time_budget.measure_training
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(planning, "MEASURED_SECONDS", 0.05)
        patched.setattr(time_budget, "measure_training", measured)
        patched.setattr(TimeBudget, "seconds_left", lambda self: 60 * self.minutes)
        return out, succeeded(train(data, out, "--minutes", "0.5"))


@pytest.mark.slow
def test_the_chosen_numbers_are_printed_and_stored(timed: tuple[Path, Done]) -> None:
    run, done = timed
    assert f"{run}: 4,321 target tokens/s; 29 steps in 0.5 minutes\n" in done.err
    settings = load_configuration(run / "config.toml").training
    assert (settings.steps, settings.warmup_steps, settings.checkpoint_every) == (29, 3, 29)
    written = json.loads((run / "manifest.json").read_text())["time_budget"]
    assert (written["minutes"], written["target_tokens_per_second"], written["evaluation_seconds"]) == (0.5, 4321.4, 4)
    assert [line["step"] for line in without_seconds(run)] == list(range(1, 30))


@pytest.mark.slow
def test_the_run_equals_one_with_the_same_numbers_bit_for_bit(
    timed: tuple[Path, Done], data: Path, tmp_path: Path
) -> None:
    numbers = zip(CHOSEN, (29, 3, 29), strict=True)
    succeeded(train(data, tmp_path / "run", *(f"--set={name}={number}" for name, number in numbers)))
    assert without_seconds(tmp_path / "run") == without_seconds(timed[0])
    ours, theirs = state(timed[0], 29), state(tmp_path / "run", 29)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    configurations = [load_configuration(run / "config.toml") for run in (timed[0], tmp_path / "run")]
    assert configurations[0] == configurations[1]


@pytest.mark.slow
def test_a_run_resumes_with_its_numbers_and_measures_nothing(
    timed: tuple[Path, Done], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(timed[0], tmp_path / "run"))
    shutil.rmtree(run / "checkpoints")  # it was killed before the first checkpoint
    monkeypatch.setattr(time_budget, "measure_training", None)
    done = succeeded(train(data, run, "--minutes", "700"))
    assert f"{run}: keeps its 29 steps" in done.err
    assert without_seconds(run) == without_seconds(timed[0])
    assert (run / "config.toml").read_bytes() == (timed[0] / "config.toml").read_bytes()
    assert (run / "manifest.json").read_bytes() == (timed[0] / "manifest.json").read_bytes()
    assert "already trained to step 29" in succeeded(train(data, run, "--minutes", "0.5")).err


def test_steps_fill_the_time_left_by_start_and_evaluations() -> None:
    chosen = settings_within(600, SHORT, MEASURED)
    assert chosen.steps == (0.95 * 600 - 10 - 5 * 4) / 0.5 == 1080
    assert (chosen.checkpoint_every, chosen.warmup_steps) == (216, 100)


def test_warm_up_is_at_most_an_eighth_of_the_steps() -> None:
    chosen = settings_within(200, SHORT, MEASURED)
    assert (chosen.steps, chosen.warmup_steps) == (320, 40)


def test_evaluations_that_would_take_most_of_the_time_are_reduced() -> None:
    chosen = settings_within(100, SHORT, Measured(1000.0, 0.5, 10.0, evaluation_seconds=10.0))
    assert (chosen.steps, chosen.checkpoint_every) == (130, 65)  # two evaluations, of 20 of 85 seconds
    assert settings_within(100, SHORT, Measured(1000.0, 0.5, 10.0, evaluation_seconds=40.0)).checkpoint_every == 90


def test_no_more_steps_are_chosen_than_most_steps() -> None:
    chosen = settings_within(6000, SHORT, MEASURED, most_steps=1000)
    assert chosen == SHORT


def test_a_time_for_fewer_than_twenty_steps_is_refused() -> None:
    message = (
        r"^3 steps of 0\.5 seconds fit the time, and a training needs 20; use more --minutes, or a smaller "
        r"--preset or training\.batch_tokens$"
    )
    with pytest.raises(UserError, match=message):
        settings_within(16.5, SHORT, Measured(1000.0, 0.5, 10.0, evaluation_seconds=4.0))
    with pytest.raises(UserError, match=r"^0 steps of .* fit the time"):
        settings_within(-5, SHORT, MEASURED)


def test_time_before_the_measurement_counts() -> None:
    left = TimeBudget(minutes=1.0, started=time.perf_counter() - 20).seconds_left()
    assert 39 < left <= 40


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--minutes", "0"], 'argument --minutes: "0" is not a number of minutes above 0'),
        (["--minutes", "nan"], 'argument --minutes: "nan" is not a number of minutes above 0'),
        (["--minutes", "ten"], 'argument --minutes: "ten" is not a number of minutes above 0'),
        (["--minutes", "5", "--plan"], "--minutes is for a training; leave --plan out"),
        (["--minutes", "5", "--set", "training.steps=9"], "--minutes chooses training.steps; leave one of them out"),
        (
            ["--minutes", "5", "--set", "training.checkpoint_every=9"],
            "--minutes chooses training.checkpoint_every; leave one of them out",
        ),
    ],
)
def test_options_that_exclude_minutes_are_a_usage_error(options: list[str], message: str) -> None:
    done = nmt("train", "data", "--out", "run", *options)
    assert (done.code, done.out) == (2, "")
    assert done.err.endswith(f"error: {message}\n")


def test_minutes_is_refused_with_several_machines(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cluster = {"worker": ["localhost:1", "localhost:2"]}
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": {"type": "worker", "index": 1}}))
    message = "--minutes is for one machine; with several in TF_CONFIG, use --set training.steps=N"
    assert refusal(train(data, tmp_path / "run", "--minutes", "5"), "train") == message


def test_a_folder_that_is_not_a_run_is_refused_before_anything_is_measured(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    message = f"{tmp_path} exists and is not a run of `nmt train`; choose another --out"
    assert refusal(train(data, tmp_path, "--minutes", "5"), "train") == message


@pytest.mark.parametrize(
    ("task", "minutes"),
    [
        ("translation", (1.0, 6.75)),
        ("translation", (9.0, 2.0)),
        ("parsing", (0.5, 3.0)),
        ("language-model", (4.0, 1.0)),
    ],
)
def test_a_demo_trains_in_the_time_that_preparation_leaves(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, task: str, minutes: tuple[float, float]
) -> None:
    minutes_gone, minutes_left = minutes
    budget, _ = demo_training(run, data, monkeypatch, minutes_gone, task)
    assert budget.minutes == pytest.approx(minutes_left, abs=0.01)
    assert 59 * minutes_left < budget.seconds_left() <= 60 * minutes_left


@pytest.mark.parametrize(("bfloat16", "tokens_and_steps"), [(True, (1024, 3600)), (False, (1024, 4800))])
def test_without_bfloat16_the_demo_uses_a_smaller_model_and_muon(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, bfloat16: bool, tokens_and_steps: tuple[int, int]
) -> None:
    monkeypatch.setattr("keras_nmt.app.training.precision.multiplies_bfloat16", lambda: bfloat16)
    budget, sections = demo_training(run, data, monkeypatch)
    assert (sections["training"]["batch_tokens"], budget.most_steps) == tokens_and_steps
    assert sections["model"]["model_width"] == (192 if bfloat16 else 128)
    assert sections["training"].get("optimizer", "adam") == ("adam" if bfloat16 else "muon")


def demo_training(
    run: Path, data: Path, monkeypatch: pytest.MonkeyPatch, minutes_gone: float = 0.0, task: str = "translation"
) -> tuple[TimeBudget, dict[str, Any]]:
    """Returns the arguments with which the full demo would train."""
    given: list[tuple[TimeBudget, dict[str, Any]]] = []

    def taken(budget: TimeBudget, _: Path, __: Path, sections: dict[str, Any], ___: str) -> None:
        given.append((budget, sections))

    monkeypatch.setattr(time_budget, "train_within", taken)
    monkeypatch.setattr("keras_nmt.app.runs.averaging.write_average", lambda *_: None)
    demo = DEMOS[task]
    train_sample(demo, data, run, demo.full, time.perf_counter() - 60 * minutes_gone)
    return given[0]
