"""Code that all measured training programs share: options, prepared batches, the clock, and the line of JSON.

This module also runs in the environments of the peers, so it imports only the standard library and NumPy.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

VOCABULARY_SIZE = 32_000
PAD, BOS, EOS, FIRST_WORD = 0, 2, 3, 4
PRECISIONS = ("bfloat16", "float32")
WARMUP_STEPS = 3  # the first steps trace the graph and run most kernels for the first time
MIN_STEPS = 5  # measured even if `--seconds` is too short for them


class Batch(NamedTuple):
    """A batch of ids: source, int32 [B, S], target and labels, int32 [B, T], all padded with PAD.

    `target` is `labels` shifted right, with BOS in front.
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    labels: NDArray[np.int32]

    @property
    def target_tokens(self) -> int:
        """Number of labels that are not padding."""
        return int((self.labels != PAD).sum())


def read_arguments(description: str | None) -> argparse.Namespace:
    """Parses the options that `train.py` passes to each program."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="output of benchmarks.data.training_corpus")
    parser.add_argument("--tokens", type=int, required=True, help="maximum target tokens of a batch, padding included")
    parser.add_argument("--precision", choices=PRECISIONS, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="duration of the measurement, without the warm-up")
    return parser.parse_args()


def batches_file(data: Path, tokens: int) -> Path:
    """Returns the path of the prepared batches of `tokens` tokens each."""
    return data / f"batches-{tokens}.npz"


def read_batches(data: Path, tokens: int) -> list[Batch]:
    """Reads the first batches of the corpus. Peers without a data pipeline train on these batches again and again."""
    with np.load(batches_file(data, tokens)) as arrays:
        return [
            Batch(*(arrays[f"{name}_{i}"] for name in Batch._fields)) for i in range(len(arrays) // len(Batch._fields))
        ]


class StepClock:
    """Measures the wall time and the CPU time of each step after the warm-up."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.steps: list[tuple[int, float, float]] = []  # target tokens, wall seconds, CPU seconds
        self._warmed_up = 0
        self._last = (0.0, 0.0)

    def step_done(self, target_tokens: int) -> bool:
        """Records the end of a step, also in the warm-up. Returns True once enough steps have been measured."""
        now = (time.perf_counter(), time.process_time())
        if self._warmed_up == WARMUP_STEPS:
            self.steps.append((target_tokens, now[0] - self._last[0], now[1] - self._last[1]))
        else:
            self._warmed_up += 1
        self._last = now
        return len(self.steps) >= MIN_STEPS and sum(wall for _, wall, _ in self.steps) >= self.seconds

    def figures(self) -> dict[str, Any]:
        """Returns medians over the steps, and the peak memory of this process."""
        return {
            "tokens_per_second": round(median(tokens / wall for tokens, wall, _ in self.steps), 1),
            "tokens_per_cpu_second": round(median(tokens / cpu for tokens, _, cpu in self.steps), 1),
            "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            "steps": len(self.steps),
        }

    def report(self, versions: dict[str, str], parameters: int) -> None:
        """Prints the line that `train.py` reads."""
        print(json.dumps({**self.figures(), "parameters": parameters, "versions": versions}), flush=True)
