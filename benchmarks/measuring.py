"""Code that all programs of the training benchmark share: options, prepared batches, the clock, and the JSON result.

This module also runs in the Python environments of the peers (the programs with which `nmt train` is compared), so it
imports only the standard library and NumPy.
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
MIN_STEPS = 5  # minimum number of measured steps, even if they take longer than `--seconds`


class Batch(NamedTuple):
    """A batch of ids, padded with PAD.

    Attributes:
        source: Source ids, int32 [B, S].
        target: Input of the decoder, int32 [B, T]: the labels shifted right, with BOS in front.
        labels: Target ids, int32 [B, T].
    """

    source: NDArray[np.int32]
    target: NDArray[np.int32]
    labels: NDArray[np.int32]

    @property
    def target_tokens(self) -> int:
        """Number of labels that are not padding."""
        return int((self.labels != PAD).sum())


def read_arguments(description: str | None) -> argparse.Namespace:
    """Parses the options that benchmarks/train.py passes to each measured program."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--data", type=Path, required=True, help="output of benchmarks.data.training_corpus")
    parser.add_argument("--tokens", type=int, required=True, help="maximum target tokens of a batch, padding included")
    parser.add_argument("--precision", choices=PRECISIONS, required=True)
    parser.add_argument("--seconds", type=float, required=True, help="duration of the measurement, without the warm-up")
    return parser.parse_args()


def batches_file(data: Path, tokens: int) -> Path:
    """Returns the path of the file with prepared batches of at most `tokens` tokens per side."""
    return data / f"batches-{tokens}.npz"


def read_batches(data: Path, tokens: int) -> list[Batch]:
    """Reads the prepared batches of at most `tokens` tokens per side.

    Programs without a data pipeline train on these batches again and again.
    """
    with np.load(batches_file(data, tokens)) as arrays:
        return [
            Batch(*(arrays[f"{name}_{i}"] for name in Batch._fields)) for i in range(len(arrays) // len(Batch._fields))
        ]


class StepClock:
    """Measures the wall time and the CPU time of each training step after WARMUP_STEPS steps.

    Args:
        seconds: Minimum duration of all measured steps together.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.steps: list[tuple[int, float, float]] = []  # target tokens, wall seconds, CPU seconds
        self._warmed_up = 0
        self._last = (0.0, 0.0)

    def step_done(self, target_tokens: int) -> bool:
        """Records the end of a step. Must be called after each step, also in the warm-up.

        Returns:
            True if at least MIN_STEPS steps have been measured and took at least `seconds` together.
        """
        now = (time.perf_counter(), time.process_time())
        if self._warmed_up == WARMUP_STEPS:
            self.steps.append((target_tokens, now[0] - self._last[0], now[1] - self._last[1]))
        else:
            self._warmed_up += 1
        self._last = now
        return len(self.steps) >= MIN_STEPS and sum(wall for _, wall, _ in self.steps) >= self.seconds

    def figures(self) -> dict[str, Any]:
        """Returns the median speeds and the number of the measured steps, and the peak memory of this process."""
        return {
            "tokens_per_second": round(median(tokens / wall for tokens, wall, _ in self.steps), 1),
            "tokens_per_cpu_second": round(median(tokens / cpu for tokens, _, cpu in self.steps), 1),
            "peak_memory_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
            "steps": len(self.steps),
        }

    def report(self, versions: dict[str, str], parameters: int) -> None:
        """Prints the results as the line of JSON that benchmarks/train.py reads."""
        print(json.dumps({**self.figures(), "parameters": parameters, "versions": versions}), flush=True)
