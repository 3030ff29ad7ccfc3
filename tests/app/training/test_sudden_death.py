"""A process that trains is killed, and the same command again learns as if nothing had been: every loss, bit for bit.

The processes are real, their command is that of the command line, and the kernel kills them.
"""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.command_line import train_arguments

ROOT = Path(__file__).resolve().parents[3]
STEPS = 60
SETTINGS = (
    *(f"training.steps={STEPS}", "training.checkpoint_every=10", "training.deterministic=true"),
    *("training.keep_checkpoints=2", "training.dev_sentences=0"),
)
DYING = """
import os, signal, sys
from keras_nmt.app.runtime.tensorflow_start import import_tensorflow
import_tensorflow()
import {module} as module
original, calls = module.{name}, iter(range(1, 10_000))
def dying(*arguments, **options):
    if next(calls) == {call}:
        os.kill(os.getpid(), signal.SIGKILL)
    return original(*arguments, **options)
module.{name} = dying
from keras_nmt.app.cli import main
sys.exit(main(sys.argv[1:]))
"""


class Training:
    """A training process, with its output in files beside the run."""

    def __init__(self, data: Path, out: Path, *program: str) -> None:
        self.out = out
        self.log = out.with_suffix(".log")
        command = [sys.executable, *(program or ("-m", "keras_nmt")), *train_arguments(data, out, *SETTINGS)]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def logged(self) -> int:
        """Returns the number of steps in its metrics."""
        metrics = self.out / "metrics.jsonl"
        return metrics.read_bytes().count(b"\n") if metrics.exists() else 0

    def receive(self, number: signal.Signals, step: int) -> int:
        """Sends a signal as soon as a step was logged, and returns the exit code."""
        while self.logged() < step:
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.002)
        self.process.send_signal(number)
        return self.process.wait()

    def finish(self) -> Path:
        """Waits for the end, and returns the run."""
        assert self.process.wait() == 0, self.log.read_text()
        return self.out


@pytest.fixture(scope="module")
def undisturbed(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Training]:
    """A training without interruption, which may still be running: wait for it with `finish`."""
    training = Training(data, tmp_path_factory.mktemp("undisturbed") / "run")
    yield training
    training.process.kill()
    training.process.wait()


def assert_same(run: Path, other: Path) -> None:
    """Asserts equal losses, gradients and dev losses of every step, and equal checkpoints."""
    ours, theirs = (
        [json.loads(line) for line in (each / "metrics.jsonl").read_text().splitlines()] for each in (run, other)
    )
    assert [line["step"] for line in ours] == list(range(1, STEPS + 1))
    for name in ("loss", "gradient_norm", "learning_rate", "target_tokens"):
        assert [line[name] for line in ours] == [line[name] for line in theirs]
    assert len({line["loss"] for line in ours}) == STEPS
    assert (run / "dev.jsonl").read_text() == (other / "dev.jsonl").read_text()
    checkpoints, others = (
        {path.relative_to(each): path.read_bytes() for path in (each / "checkpoints").glob("**/*.npz")}
        for each in (run, other)
    )
    assert len(checkpoints) == 4
    assert checkpoints == others


@pytest.mark.slow
def test_a_killed_training_resumes_bit_for_bit(data: Path, tmp_path: Path, undisturbed: Training) -> None:
    step = random.randint(11, 55)
    assert Training(data, tmp_path / "run").receive(signal.SIGKILL, step) == -signal.SIGKILL
    again = Training(data, tmp_path / "run")
    assert_same(again.finish(), undisturbed.finish())
    assert f"resuming from step {step // 10 * 10} of {STEPS}" in again.log.read_text() or step % 10 in {9, 0}


@pytest.mark.slow
def test_a_training_killed_and_stopped_many_times_resumes_bit_for_bit(
    data: Path, tmp_path: Path, undisturbed: Training
) -> None:
    steps = sorted(random.sample(range(1, STEPS), 5))
    signals = [signal.SIGKILL, signal.SIGTERM, signal.SIGKILL, signal.SIGTERM, signal.SIGTERM]
    for step, number in zip(steps, signals, strict=True):
        training = Training(data, tmp_path / "run")
        code = training.receive(number, step)
        assert code == (-number if number == signal.SIGKILL else 128 + number), training.log.read_text()
        if code > 0:
            stopped, ending = training.log.read_text().splitlines()[-1].split(" at step ")
            assert stopped == f"nmt train: stopped by {number.name}"
            assert ending == f"{training.logged()}; the same command resumes from there"
    assert_same(Training(data, tmp_path / "run").finish(), undisturbed.finish())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "call"),
    [
        ("keras_nmt.app.runs.directory.replace_file", 1),  # before there is a run
        ("keras_nmt.app.runs.directory.replace_file", 3),
        ("keras_nmt.app.runs.step_lines.append", 7),  # before there is a checkpoint; evaluations count too
        ("keras_nmt.app.runs.checkpoints._sync", 5),  # while the second checkpoint is written
        ("keras_nmt.app.runs.checkpoints._sync_folder", 2),  # after its rename
        ("keras_nmt.app.training.callbacks.monitoring.dev_loss", 2),  # before its evaluation
        ("shutil.rmtree", 8),  # after the third, while the first is removed
    ],
)
def test_a_training_killed_at_a_critical_moment_resumes_bit_for_bit(
    data: Path, tmp_path: Path, undisturbed: Training, function: str, call: int
) -> None:
    module, _, name = function.rpartition(".")
    program = DYING.format(module=module, name=name, call=call)
    dying = Training(data, tmp_path / "run", "-c", program)
    assert dying.process.wait() == -signal.SIGKILL, dying.log.read_text()
    assert_same(Training(data, tmp_path / "run").finish(), undisturbed.finish())


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="a small disk is made with unshare")
def test_a_run_resumes_bit_for_bit_after_the_disk_was_full(data: Path, tmp_path: Path, undisturbed: Training) -> None:
    sizes = {path: path.stat().st_size for path in undisturbed.finish().rglob("*") if path.is_file()}
    one = sum(size for path, size in sizes.items() if path.parent.name == f"step-{STEPS:08d}")
    two = sum(size for path, size in sizes.items() if "checkpoints" in path.parts)
    room = sum(sizes.values()) - two + 3 * one // 2  # for all but checkpoints, and for one and a half of them
    disk = tmp_path / "disk"
    disk.mkdir()
    train = " ".join([sys.executable, "-m", "keras_nmt", *train_arguments(data, disk / "run", *SETTINGS)])
    script = f"""
mount -t tmpfs -o size=16m none {disk} || exit 99
fallocate -l {(16 << 20) - room} {disk}/ballast
{train}; echo "exit code $?"
ls -A {disk}/run/checkpoints
rm {disk}/ballast
{train} && cp -r {disk}/run {tmp_path}/run
"""
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode == 99:
        pytest.skip(f"no disk can be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    (line,) = (line for line in done.stderr.splitlines() if line.startswith("nmt train: "))
    assert line.startswith(f"nmt train: no space left on the disk while writing {disk / 'run'}")
    assert "the checkpoint of step 10 is whole" in line
    assert done.stdout.splitlines()[:2] == ["exit code 1", "step-00000010"]
    assert_same(tmp_path / "run", undisturbed.finish())
