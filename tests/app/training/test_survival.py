"""Training survives signals, damaged files and a full disk, and stops early without improvement."""

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.checkpoint_folder import CheckpointFolder
from keras_nmt.app.runs.checkpoints import Checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training.callbacks import monitoring
from keras_nmt.app.training.callbacks.full_disk import reporting_full_disk
from keras_nmt.app.training.callbacks.monitoring import DevEvaluation, StepLog
from keras_nmt.app.training.resume import open_or_create
from keras_nmt.pipelines.shards.manifest import Manifest
from tests.app.command_line import Done, nmt, refusal, succeeded, train_arguments

pytestmark = pytest.mark.usefixtures("traced_once")


def steps_of(run: Path, name: str = "metrics.jsonl") -> list[int]:
    return [json.loads(line)["step"] for line in (run / name).read_text().splitlines()]


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def checkpoints(run: Path) -> list[str]:
    return sorted(path.name.removeprefix("step-0000000") for path in (run / "checkpoints").iterdir())


# To save time, nothing is translated at a checkpoint; the losses are those of the shared run.
QUICK = ("training.dev_sentences=0",)


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The folder for a new run."""
    return tmp_path / "mine"


@pytest.fixture
def train(data: Path, mine: Path) -> Callable[..., Done]:
    """Returns a function that trains the run in `mine`."""
    return lambda *settings: nmt(*train_arguments(data, mine, *QUICK, *settings))


@pytest.fixture
def send_at(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Returns a function that makes this process receive a signal when a method is called for the n-th time."""

    def arrange(number: signal.Signals, owner: type, method: str, call: int) -> None:
        original, calls = getattr(owner, method), iter(range(1, 1000))

        def patched(*arguments: Any, **options: Any) -> Any:
            if next(calls) == call:
                os.kill(os.getpid(), number)
            return original(*arguments, **options)

        monkeypatch.setattr(owner, method, patched)

    return arrange


# Signals


def test_a_signal_saves_the_current_step_and_changes_nothing_after_resuming(
    run: Path, mine: Path, train: Callable[..., Done], send_at: Callable[..., None]
) -> None:
    send_at(signal.SIGTERM, StepLog, "on_train_batch_begin", 3)
    stopped = train()
    assert stopped.code == 143
    assert stopped.complaints == ["nmt train: stopped by SIGTERM at step 3; the same command resumes from there"]
    assert "SIGTERM: writing a checkpoint of step 3; a second signal stops at once\n" in stopped.err
    assert Checkpoint.open(mine / "checkpoints" / "step-00000003").facts == {"stopped_by": "SIGTERM"}
    assert (steps_of(mine), checkpoints(mine)) == ([1, 2, 3], ["2", "3"])
    done = succeeded(train())
    assert "resuming from step 3 of 4" in done.err
    assert losses(mine) == losses(run)
    assert (steps_of(mine, "dev.jsonl"), checkpoints(mine)) == ([2, 4], ["2", "4"])


def test_ctrl_c_before_the_first_step_stops_at_once(
    run_copy: Path, data: Path, mine: Path, train: Callable[..., Done], send_at: Callable[..., None]
) -> None:
    send_at(signal.SIGINT, DevEvaluation, "__init__", 1)
    stopped = train()
    assert stopped.code == 130
    assert stopped.complaints == [
        "nmt train: stopped by SIGINT before the first checkpoint; the same command starts over"
    ]
    assert not (mine / "checkpoints").exists()
    send_at(signal.SIGINT, DevEvaluation, "__init__", 1)
    stopped = nmt(*train_arguments(data, run_copy, "training.steps=6"))
    assert stopped.complaints == ["nmt train: stopped by SIGINT at step 4; the same command resumes from there"]


@pytest.mark.slow
def test_an_evaluation_that_a_signal_interrupted_is_repeated(
    mine: Path, train: Callable[..., Done], send_at: Callable[..., None]
) -> None:
    send_at(signal.SIGTERM, DevEvaluation, "evaluate", 2)
    stopped = train()
    assert stopped.code == 143
    assert stopped.complaints == ["nmt train: stopped by SIGTERM at step 4; the same command resumes from there"]
    assert (steps_of(mine, "dev.jsonl"), checkpoints(mine)) == ([2], ["2", "4"])
    assert "stopped_by" not in Checkpoint.open(mine / "checkpoints" / "step-00000004").facts
    done = succeeded(train())
    assert "already trained to step 4" in done.err
    assert steps_of(mine, "dev.jsonl") == [2, 4]


# Early stopping


def test_training_stops_early_without_improvement_and_does_not_resume(
    run_copy: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([3.0, 9.0, 8.0, 9.0])
    monkeypatch.setattr(monitoring, "dev_loss", lambda *_: {"dev_loss": 10 - next(figures)})
    (run_copy / "dev.jsonl").write_text('{"step": 2, "dev_loss": 9.0}\n{"step": 4, "dev_loss": 8.0}\n')
    settings = ("steps=40", "checkpoint_every=2", "patience=2", "keep_checkpoints=1")
    command = train_arguments(data, run_copy, *QUICK, *(f"training.{setting}" for setting in settings))
    done = succeeded(nmt(*command))
    line = (
        "stopped early at step 12: 2 checkpoint(s) without an improvement on dev loss 1 at step 8; "
        "raise training.patience, or set it to 0, to continue\n"
    )
    assert done.err.endswith(line)
    assert checkpoints(run_copy) == ["8", "step-00000012"]
    before = (run_copy / "metrics.jsonl").read_bytes()
    again = succeeded(nmt(*command))
    assert again.err.endswith(line)
    assert "resuming" not in again.err
    assert (run_copy / "metrics.jsonl").read_bytes() == before


# Damage


def test_training_resumes_from_the_checkpoint_before_a_damaged_one(run: Path, run_copy: Path, data: Path) -> None:
    damaged = run_copy / "checkpoints" / "step-00000004"
    (damaged / "state.npz").write_bytes((damaged / "state.npz").read_bytes()[:-1])
    done = succeeded(nmt(*train_arguments(data, run_copy, *QUICK)))
    assert (
        f"{damaged} is damaged: state.npz has another checksum than when it was written; renamed it to "
        "step-00000004.damaged, resuming from step 2\n"
    ) in done.err
    assert losses(run_copy) == losses(run)
    assert (steps_of(run_copy, "dev.jsonl"), checkpoints(run_copy)) == ([2, 4], ["2", "4", "4.damaged"])


def test_training_does_not_start_over_when_all_checkpoints_are_damaged(run_copy: Path, data: Path) -> None:
    for path in (run_copy / "checkpoints").iterdir():
        (path / "weights.npz").unlink()
    before = sorted(run_copy.rglob("*"))
    line = refusal(nmt(*train_arguments(data, run_copy, "training.steps=6")), "train")
    assert line == (
        f"{run_copy / 'checkpoints' / 'step-00000004'} is damaged: weights.npz no such file or directory, and no other "
        f"is undamaged; remove {run_copy / 'checkpoints'} to start over"
    )
    assert sorted(run_copy.rglob("*")) == before


def test_a_half_created_run_is_created_again(run: Path, mine: Path, data: Path) -> None:
    configuration = RunDirectory.open(run).configuration
    mine.mkdir()
    for name in ("vocabulary.model", "manifest.json", ".config.toml.partial"):
        (mine / name).write_text("half")
    made = open_or_create(mine, configuration, Manifest.load(data), {})
    assert made == RunDirectory.open(mine)
    assert made.vocabulary().digest == RunDirectory.open(run).vocabulary().digest


# A full disk

FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


@FULL
@pytest.mark.parametrize("name", ["metrics.jsonl", "dev.jsonl"])
def test_a_full_disk_is_reported_in_one_line_with_the_last_checkpoint(run_copy: Path, data: Path, name: str) -> None:
    (run_copy / name).unlink()
    (run_copy / name).symlink_to("/dev/full")
    line = refusal(nmt(*train_arguments(data, run_copy, *QUICK, "training.steps=5")), "train")
    assert line == (
        f"no space left on the disk while writing {run_copy / name}; the checkpoint of step 4 is whole; free space and "
        "start the same command again"
    )
    assert checkpoints(run_copy) == ["2", "4"]


@FULL
def test_a_full_disk_leaves_the_earlier_configuration(run_copy: Path, data: Path) -> None:
    before = (run_copy / "config.toml").read_bytes()
    (run_copy / ".config.toml.partial").symlink_to("/dev/full")
    line = refusal(nmt(*train_arguments(data, run_copy, "training.steps=6")), "train")
    assert line == f"cannot use {run_copy / 'config.toml'}: no space left on device"
    assert (run_copy / "config.toml").read_bytes() == before


@pytest.mark.slow
def test_a_checkpoint_that_does_not_fit_leaves_the_earlier_ones(
    run_copy: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("keras_nmt.app.runs.checkpoints._sync", full)
    line = refusal(nmt(*train_arguments(data, run_copy, *QUICK, "training.steps=6")), "train")
    assert line == (
        f"no space left on the disk while writing {run_copy / 'checkpoints' / 'step-00000006'}; the checkpoint of "
        "step 4 is whole; free space and start the same command again"
    )
    assert checkpoints(run_copy) == ["2", "4"]


def test_a_full_disk_under_tensorboard_is_distinguished_from_a_full_gpu(tmp_path: Path) -> None:
    def fail(message: str) -> None:
        with reporting_full_disk(CheckpointFolder(tmp_path)):
            raise tf.errors.ResourceExhaustedError(None, None, message)

    with pytest.raises(UserError, match="while writing TensorBoard's files; there was no checkpoint yet; free space"):
        fail("run/tensorboard/events; No space left on device")
    with pytest.raises(tf.errors.ResourceExhaustedError):
        fail("OOM when allocating tensor")
