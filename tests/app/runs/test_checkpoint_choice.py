"""Which of a run's checkpoints are chosen to translate with and to average."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.averaging import write_average
from keras_nmt.app.runs.checkpoints import STOPPED_BY, Checkpoint, write_checkpoint
from keras_nmt.app.runs.choice import best, choose_checkpoint, newest
from keras_nmt.app.runs.directory import RunDirectory
from tests.app.command_line import nmt, succeeded

BLEU = {1: 5.0, 2: 9.0, 3: 7.0, 4: 6.0, 99: 50.0}  # 99 is not there any more


@pytest.fixture
def trained(run_copy: Path) -> RunDirectory:
    """A run with checkpoints 1 to 5: 2 is the best by BLEU, 1 the best by loss, and 5 was written after a signal."""
    opened = RunDirectory.open(run_copy)
    weights = {"weights.npz": Checkpoint.open(opened.checkpoints.step_path(4)).weights()}
    for step in range(1, 6):
        write_checkpoint(opened.checkpoints.step_path(step), step, weights, {STOPPED_BY: "SIGINT"} if step == 5 else {})
    lines = ({"step": step, "dev_bleu": bleu, "dev_loss": float(step)} for step, bleu in BLEU.items())
    (run_copy / "dev.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return opened


def with_training(run: RunDirectory, **settings: Any) -> RunDirectory:
    configuration = run.configuration
    return replace(run, configuration=replace(configuration, training=replace(configuration.training, **settings)))


def damage(run: RunDirectory, name: str) -> None:
    (run.checkpoints.path / name / "weights.npz").write_bytes(b"")


@pytest.mark.parametrize(("choice", "step"), [(None, 5), ("last", 5), ("best", 2), ("3", 3)])
def test_each_choice_means_one_checkpoint(trained: RunDirectory, choice: str | None, step: int) -> None:
    assert choose_checkpoint(trained, choice).step == step


def test_the_best_checkpoint_follows_from_the_setting_best_by(trained: RunDirectory) -> None:
    assert choose_checkpoint(with_training(trained, best_by="loss"), "best").step == 1


def test_an_average_is_used_until_training_goes_further(trained: RunDirectory) -> None:
    path = write_average(trained.checkpoints, best(trained, 2))
    assert choose_checkpoint(trained).path == choose_checkpoint(trained, "average").path == path
    assert choose_checkpoint(trained, "last").step == 5
    shutil.copytree(trained.checkpoints.step_path(5), trained.checkpoints.step_path(6))
    (trained.checkpoints.step_path(6) / "checkpoint.json").write_text('{"step": 6, "facts": {}, "sha256": {}}')
    assert choose_checkpoint(trained).step == 6
    assert choose_checkpoint(trained, "average").path == path


def test_a_damaged_checkpoint_is_skipped_and_named(trained: RunDirectory, capsys: pytest.CaptureFixture[str]) -> None:
    write_average(trained.checkpoints, newest(trained, 2))
    for name in ("average", "step-00000005", "step-00000002"):
        damage(trained, name)
    assert choose_checkpoint(trained).step == 4
    said = capsys.readouterr().err.splitlines()
    wrong = "weights.npz has another checksum than when it was written; using step-00000004 instead"
    folder = trained.checkpoints.path
    assert said == [f"{folder / 'average'} is damaged: {wrong}", f"{folder / 'step-00000005'} is damaged: {wrong}"]
    assert choose_checkpoint(trained, "best").step == 3


def test_the_newest_to_average_are_checkpoints_in_turn_that_are_kept_as_newest(trained: RunDirectory) -> None:
    assert [path.name for path in newest(trained, 2)] == ["step-00000003", "step-00000004"]
    kept = with_training(trained, keep_checkpoints=2)
    assert len(newest(kept, 2)) == 2
    with pytest.raises(UserError, match=r"has 2 checkpoint\(s\), fewer than --last 3; train further, or keep more"):
        newest(kept, 3)  # 2 is there as the best, not as one of the newest


def test_the_best_to_average_are_those_that_are_kept(trained: RunDirectory) -> None:
    assert [path.name for path in best(trained, 3)] == ["step-00000002", "step-00000003", "step-00000004"]


def test_the_commands_use_the_chosen_checkpoints(trained: RunDirectory) -> None:
    done = succeeded(nmt("average", trained.path, "--best", "2"))
    assert done.err == "averaging step-00000002, step-00000003\n"
    assert Checkpoint.open(trained.checkpoints.average_path()).facts == {"averaged": [2, 3]}
    for arguments, said in (
        (("translate", trained.path, "--checkpoint", "best"), "step 2"),
        (("translate", trained.path), "average of 2 checkpoints"),
    ):
        assert succeeded(nmt(*arguments, stdin=b"")).err.startswith(f"{trained.path}: {said}\n")
