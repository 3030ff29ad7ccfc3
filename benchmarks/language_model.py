"""Compares the training of a small language model of characters with nanoGPT's recipe for a CPU.

Whole trainings of both programs are measured in turn: wall time, processor time, page faults, and then the loss of each
model on the whole validation text. Prints a table to stderr and one JSON object as the last line of stdout. README.md
explains the numbers, and how to create the environment of the peer.
"""

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from keras_nmt.app.runtime.processor_settings import apply_processor_settings
from keras_nmt.app.runtime.processors import processor_name

ROOT = Path(__file__).resolve().parents[1]
OURS, PEER = "nmt", "nanoGPT"
STEPS, BLOCK = 2000, 64
CHECKPOINTS = 4
TRAINING_SHARE = 0.9  # the share of the text that is training text, as in nanoGPT


@dataclass(frozen=True)
class Training:
    """One whole training of one program.

    Attributes:
        program: `OURS` or `PEER`.
        round: Number of the round, from 0.
        wall_seconds: Duration of the process.
        user_seconds: Processor time of the process and its threads in user mode.
        kernel_seconds: The same in kernel mode.
        page_faults: Page faults, without and with reads from disk.
        peak_memory_gib: Peak memory of the process, in GiB.
        block_loss: Validation loss in nats a character, in blocks without the text before them.
        sliding_loss: The same, where each character is predicted from at least half a block, as far as there is text.
    """

    program: str
    round: int
    wall_seconds: float
    user_seconds: float
    kernel_seconds: float
    page_faults: int
    peak_memory_gib: float
    block_loss: float
    sliding_loss: float

    @property
    def cpu_seconds(self) -> float:
        """Processor time in user and kernel mode."""
        return self.user_seconds + self.kernel_seconds


def main() -> None:
    """Trains both programs in turn and prints the results."""
    options = read_options()
    apply_processor_settings()
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        write_splits(options.text, work)
        prepare(work)
        results = list(measure_all(options, work))
    for line in table(results):
        say(line)
    conditions = {"processor": processor_name(), "cores": len(os.sched_getaffinity(0)), "steps": options.steps}
    print(json.dumps({**summary(results), **conditions, "trainings": [asdict(one) for one in results]}))


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Compares the training of a language model with nanoGPT's recipe for a CPU.",
        epilog="example: python -m benchmarks.language_model --text input.txt --peer envs/nanogpt/bin/python",
    )
    add = parser.add_argument
    add("--text", type=Path, required=True, metavar="FILE", help="the text, such as tinyshakespeare; may be .gz")
    add("--peer", type=Path, metavar="PYTHON", help="the Python of the peer's environment; without it, only nmt runs")
    add("--rounds", type=int, default=3, help="trainings of each program (default: 3)")
    add("--steps", type=int, default=STEPS, help=f"steps of a training (default: {STEPS})")
    return parser.parse_args(arguments)


def write_splits(text: Path, folder: Path) -> None:
    """Writes the first nine tenths of a text to `train.txt` in a folder, and the rest to `validation.txt`."""
    content = text.read_bytes()
    whole = (gzip.decompress(content) if text.suffix == ".gz" else content).decode()
    end = int(len(whole) * TRAINING_SHARE)
    (folder / "train.txt").write_text(whole[:end], encoding="utf-8")
    (folder / "validation.txt").write_text(whole[end:], encoding="utf-8")


def prepare(folder: Path) -> None:
    """Prepares the splits in a folder for `nmt train`."""
    specs = ("--corpus", f"text:{folder / 'train.txt'}", "--dev", f"text:{folder / 'validation.txt'}")
    sizes = ("--units", "characters", "--max-tokens", BLOCK, "--out", folder / "data")
    run([sys.executable, "-m", "keras_nmt", "prepare", "--task", "language-model", *specs, *sizes])


def measure_all(options: argparse.Namespace, work: Path) -> Iterator[Training]:
    """Yields the results of all trainings, round by round. The program that runs first alternates."""
    programs = [OURS, PEER] if options.peer else [OURS]
    for number in range(options.rounds):
        for program in programs if number % 2 == 0 else programs[::-1]:
            if program == OURS:
                result = measure_ours(work, options.steps, number)
            else:
                result = measure_peer(options.peer.absolute(), work, options.steps, number)
            say(
                f"round {number + 1}: {program} {result.cpu_seconds:.1f} CPU-seconds in {result.wall_seconds:.1f} s, "
                f"loss {result.block_loss:.4f}"
            )
            yield result


def measure_ours(work: Path, steps: int, number: int) -> Training:
    """Trains the preset `language-model` by `nmt train`, and measures its loss."""
    out = work / f"run-{number}"
    settings = {
        "steps": steps,
        "checkpoint_every": max(1, steps // CHECKPOINTS),
        "dev_sentences": 0,  # nanoGPT generates no text while it trains
        "seed": number + 1,
    }
    changes = [word for name, value in settings.items() for word in ("--set", f"training.{name}={value}")]
    command = [sys.executable, "-m", "keras_nmt", "train", work / "data", "--out", out, "--preset", "language-model"]
    figures = watched([*command, *changes])
    module = [sys.executable, "-m", "benchmarks.programs.language_model_loss"]
    losses = json.loads(run([*module, "--run", out, "--text", work / "validation.txt"]).splitlines()[-1])
    return Training(OURS, number, **figures, block_loss=losses["block_loss"], sliding_loss=losses["sliding_loss"])


def measure_peer(python: Path, work: Path, steps: int, number: int) -> Training:
    """Trains nanoGPT's model by its recipe, and measures its loss."""
    files = ["--data", work, "--out", work / f"peer-{number}.pt"]
    module = [python, "-m", "benchmarks.peers.nano_gpt"]
    figures = watched([*module, "train", *files, "--steps", steps, "--seed", number + 1])
    losses = json.loads(run([*module, "evaluate", *files]).splitlines()[-1])
    return Training(PEER, number, **figures, block_loss=losses["block_loss"], sliding_loss=losses["sliding_loss"])


def watched(command: Sequence[object]) -> dict[str, Any]:
    """Runs a command to its end, and returns its time, page faults and memory: the first fields of `Training`.

    Raises:
        subprocess.CalledProcessError: The command failed.
    """
    words = [str(word) for word in command]
    start = time.perf_counter()
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(words, cwd=ROOT, env=cpu_only(), stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)  # wait4 has reaped the process
        if process.returncode:
            log.seek(0)
            say(log.read().decode(errors="replace"))
            raise subprocess.CalledProcessError(process.returncode, words)
    return {
        "wall_seconds": round(wall, 2),
        "user_seconds": round(usage.ru_utime, 2),
        "kernel_seconds": round(usage.ru_stime, 2),
        "page_faults": usage.ru_minflt + usage.ru_majflt,
        "peak_memory_gib": round(usage.ru_maxrss / 2**20, 2),
    }


def run(command: Sequence[object]) -> str:
    """Runs a command and returns its stdout."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, env=cpu_only(), check=True, stdout=subprocess.PIPE, encoding="utf-8")
    return done.stdout


def cpu_only() -> dict[str, str]:
    """Returns the environment of both programs, in which there is no GPU."""
    return {**os.environ, "CUDA_VISIBLE_DEVICES": ""}


def summary(results: Sequence[Training]) -> dict[str, Any]:
    """Returns the medians of both programs, and the ratio of our processor time to the peer's.

    The ratio is the median over the rounds of the ratio within a round.
    """
    figures: dict[str, Any] = {}
    for program in dict.fromkeys(one.program for one in results):
        own = [one for one in results if one.program == program]
        names = ("cpu_seconds", "wall_seconds", "block_loss", "sliding_loss")
        figures[program] = {name: round(median(getattr(one, name) for one in own), 4) for name in names}
    theirs = {one.round: one.cpu_seconds for one in results if one.program == PEER}
    ratios = [one.cpu_seconds / theirs[one.round] for one in results if one.program == OURS and one.round in theirs]
    return figures | ({"cpu_ratio_to_peer": round(median(ratios), 3)} if ratios else {})


def table(results: Iterable[Training]) -> Iterator[str]:
    """Yields the lines of a Markdown table with one row for each training."""
    yield "| round | program | wall s | user s | kernel s | page faults | peak GiB | nats, blocks | nats, sliding |"
    yield "|---|---|---|---|---|---|---|---|---|"
    for one in results:
        yield (
            f"| {one.round + 1} | {one.program} | {one.wall_seconds:.1f} | {one.user_seconds:.1f} "
            f"| {one.kernel_seconds:.1f} | {one.page_faults:,} | {one.peak_memory_gib:.2f} "
            f"| {one.block_loss:.4f} | {one.sliding_loss:.4f} |"
        )


def say(line: str) -> None:
    """Writes a line to stderr."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
