"""Two processes that train together over loopback, started by the command line, compared with one process."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from shutil import copytree
from typing import Any

import numpy as np
import pytest

from keras_nmt.app.config import load_preset
from keras_nmt.app.runs.checkpoints import Checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training.resolving import resolve
from keras_nmt.app.training.train import shared_facts
from keras_nmt.pipelines.shards.manifest import Manifest
from tests.app.command_line import nmt, succeeded, train_arguments

ROOT = Path(__file__).resolve().parents[4]
# Without dropout, because the replicas' masks differ.
EXACT = ("model.residual_dropout=0.0", "training.checkpoint_every=1", "training.dev_sentences=0")
PATIENCE_SECONDS = 300


def addresses(count: int) -> list[str]:
    """Returns addresses with free ports of this machine."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    found = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return found


class Machines:
    """The two processes of a training, the chief first, each with its own --out."""

    def __init__(self, data: Sequence[Path], out: Path, *settings: str, of_worker_1: tuple[str, ...]) -> None:
        workers = addresses(2)
        self.processes = []
        for index, (its_data, own) in enumerate(zip(data, ((), of_worker_1), strict=True)):
            tf_config = {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}}
            folder = out if index == 0 else out.with_name("run of worker 1")
            command = [sys.executable, "-m", "keras_nmt", *train_arguments(its_data, folder, *settings, *own)]
            self.processes.append(
                subprocess.Popen(
                    command,
                    cwd=ROOT,
                    env={**os.environ, "TF_CONFIG": json.dumps(tf_config)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )

    def finished(self) -> list[tuple[int, str, str]]:
        """Waits for the processes, and returns exit code, stdout and stderr of each."""
        written = [process.communicate(timeout=PATIENCE_SECONDS) for process in self.processes]
        return [(process.returncode, *texts) for process, texts in zip(self.processes, written, strict=True)]

    def end(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()


@pytest.fixture
def machines(data: Path) -> Iterator[Any]:
    """Returns a function that starts two machines on the shared data, or each on its own copy."""
    launched: list[Machines] = []

    def launch(
        out: Path, *settings: str, of_worker_1: tuple[str, ...] = (), data: Sequence[Path] = (data, data)
    ) -> Machines:
        launched.append(Machines(data, out, *settings, of_worker_1=of_worker_1))
        return launched[-1]

    yield launch
    for each in launched:
        each.end()


@pytest.fixture(scope="module")
def alone(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of four steps by one process."""
    out = tmp_path_factory.mktemp("alone") / "run"
    succeeded(nmt(*train_arguments(data, out, *EXACT)))
    return out


@pytest.fixture(scope="module")
def halves(data: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two copies of the data, one with damaged odd shards, the other with damaged even shards."""
    shards = Manifest.load(data).split("train").shards
    copies = []
    for other in (1, 0):
        copies.append(copytree(data, tmp_path_factory.mktemp("half") / "data"))
        for shard in shards[other::2]:
            (copies[-1] / shard.file).write_bytes(bytes(shard.bytes))
    return copies


def metrics(run: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def dev_losses(run: Path) -> list[tuple[float, float]]:
    lines = [json.loads(line) for line in (run / "dev.jsonl").read_text().splitlines()]
    return [(line["step"], line["dev_loss"]) for line in lines]


def newest_checkpoint(run: Path) -> Checkpoint:
    return Checkpoint.open(RunDirectory.open(run).checkpoints.steps()[-1][1])


def assert_same_training(run: Path, reference: Path) -> None:
    """Asserts equal batches, losses and gradients of each step, equal dev losses, and equal final weights."""
    ours, theirs = metrics(run), metrics(reference)
    assert [step["step"] for step in ours] == [step["step"] for step in theirs] == [1, 2, 3, 4]
    for name in ("source_tokens", "target_tokens", "learning_rate"):
        assert [step[name] for step in ours] == [step[name] for step in theirs]
    for name in ("loss", "cross_entropy", "gradient_norm"):
        np.testing.assert_allclose([s[name] for s in ours], [s[name] for s in theirs], rtol=1e-5, err_msg=name)
    np.testing.assert_allclose(dev_losses(run), dev_losses(reference), atol=2e-4)  # they are rounded to 1e-4
    weights, expected = (newest_checkpoint(path).weights() for path in (run, reference))
    assert weights.keys() == expected.keys()
    for name, weight in weights.items():
        np.testing.assert_allclose(weight, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.slow
def test_one_process_then_two_then_one_train_like_a_single_process(machines, alone, data, halves, tmp_path):
    """Each of the two reads only its half of the shards."""
    run = tmp_path / "run"
    succeeded(nmt(*train_arguments(data, run, *EXACT, "training.steps=1")))
    both = machines(run, *EXACT, "training.steps=3", "training.dev_sentences=2", data=halves)
    (code, out, err), (other_code, other_out, other_err) = both.finished()
    assert (code, other_code) == (0, 0), err + other_err
    assert (out, other_out) == (f"{run}\n", "")
    assert "2 replica(s)" in err
    assert "resuming from step 1 of 3" in err
    assert "step 3  dev loss" in err
    assert "dev bleu" in err
    assert "2 machines train together; this is worker 1 (localhost:" in other_err.splitlines()[-1]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]  # only the chief writes
    succeeded(nmt(*train_arguments(data, run, *EXACT)))
    assert_same_training(run, alone)


def test_facts_differ_between_settings_and_between_data(data):
    manifest = Manifest.load(data)
    exact, half = (
        shared_facts(resolve(load_preset("tiny", [f"training.precision={name}"]), "tiny", manifest), manifest)
        for name in ("float32", "mixed_bfloat16")
    )
    assert json.loads(json.dumps(exact)).keys() == exact.keys()
    assert {name for name in exact if exact[name] != half[name]} == {"training.precision"}
    assert exact["vocabulary"] == manifest.vocabulary_digest
    train = manifest.split("train")
    fewer = replace(manifest, splits={**manifest.splits, "train": replace(train, shards=train.shards[1:])})
    other = shared_facts(resolve(load_preset("tiny", ["training.precision=float32"]), "tiny", manifest), fewer)
    assert {name for name in exact if exact[name] != other[name]} == {"training shards"}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_on_two_machines_near_float32(machines, alone, tmp_path, precision):
    both = machines(tmp_path / "run", *EXACT, f"training.precision={precision}")
    (code, _, err), (other_code, _, other_err) = both.finished()
    assert (code, other_code) == (0, 0), err + other_err
    for ours, theirs in zip(metrics(tmp_path / "run"), metrics(alone), strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.01)


@pytest.mark.slow
@pytest.mark.parametrize(("killed", "survivor"), [(0, 1), (1, 0)])
def test_a_lost_machine_stops_the_other_with_one_line_and_the_run_can_resume(
    machines, data, tmp_path, killed, survivor
):
    run = tmp_path / "run"
    endless = (*EXACT, "training.steps=100000", "training.checkpoint_every=5")
    both = machines(run, *endless)
    wait_for(run / "checkpoints" / "step-00000005")
    both.processes[killed].send_signal(signal.SIGKILL)
    code, _, err = both.finished()[survivor]
    assert code == os.EX_TEMPFAIL
    who = "the chief" if killed == 0 else "worker 1"
    assert err.splitlines()[-1].startswith(f"nmt train: lost {who} (localhost:")
    assert err.splitlines()[-1].endswith("and training goes on from the last checkpoint")
    reached = newest_checkpoint(run).step
    succeeded(nmt(*train_arguments(data, run, *endless, f"training.steps={reached + 1}")))
    assert [step["step"] for step in metrics(run)] == list(range(1, reached + 2))


@pytest.mark.slow
@pytest.mark.parametrize(("told", "other"), [(0, 1), (1, 0)])
def test_a_machine_that_receives_sigterm_stops_and_so_does_the_other(machines, tmp_path, told, other):
    run = tmp_path / "run"
    both = machines(run, *EXACT, "training.steps=100000", "training.checkpoint_every=100000")
    wait_for(run / "metrics.jsonl")
    both.processes[told].terminate()
    finished = both.finished()
    assert (finished[told][0], finished[other][0]) == (128 + signal.SIGTERM, os.EX_TEMPFAIL)
    assert "stopped by SIGTERM" in finished[told][2].splitlines()[-1]
    kept = RunDirectory.open(run).checkpoints.steps()
    assert [step for step, _ in kept] == ([metrics(run)[-1]["step"]] if told == 0 else [])


@pytest.mark.slow
def test_a_divergence_rolls_back_and_gives_up_on_all_machines_at_once(machines, tmp_path):
    run = tmp_path / "run"
    settings = ("training.learning_rate=1e30", "training.storm_steps=2", "training.max_rollbacks=1")
    both = machines(run, *EXACT, *settings, "training.steps=50")
    (code, _, err), (other_code, _, other_err) = both.finished()
    assert (code, other_code) == (1, 1), err + other_err
    assert "skipping the batches of steps 1 to 3, continuing at 0.5 times the learning rate\n" in err
    assert "the training diverged 2 time(s):\n  step 3: 2 bad steps from step 2 on" in err
    assert "skipping the batches" not in other_err
    assert err.splitlines()[-1] == other_err.splitlines()[-1]
    assert err.splitlines()[-1].startswith("nmt train: the training diverged at step ")
    assert [line["step"] for line in metrics(run) if "rolled_back_to" in line] == [3]
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


@pytest.mark.slow
def test_early_stopping_ends_all_machines_at_once(machines, tmp_path):
    run = tmp_path / "run"
    settings = ("training.learning_rate=1e-12", "training.patience=1", "training.best_by=loss", "training.steps=9")
    (code, _, err), (other_code, _, other_err) = machines(run, *EXACT, *settings).finished()
    assert (code, other_code) == (0, 0), err + other_err
    assert err.splitlines()[-1].startswith("stopped early at step 2")
    assert [step["step"] for step in metrics(run)] == [1, 2]


@pytest.mark.slow
def test_machines_with_different_settings_refuse_to_train(machines, tmp_path):
    both = machines(tmp_path / "run", *EXACT, of_worker_1=("training.seed=5",))
    (code, _, err), (other_code, _, other_err) = both.finished()
    assert (code, other_code) == (1, 1)
    assert "has training.seed = 5, the chief (" in err.splitlines()[-1]
    assert other_err.splitlines()[-1].endswith(err.splitlines()[-1].removeprefix("nmt train: "))
    assert list(tmp_path.iterdir()) == []


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.2)
    assert path.exists()
