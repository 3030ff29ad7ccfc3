"""Measures the speed and memory of preparing a corpus and of streaming training batches from prepared data.

`nmt prepare` runs on real text that is repeated with small differences. Our training stream is compared with its peer,
the usual `tf.data` pipeline, over the same shards. In each round, both streams are measured one after the other. One
measurement of one stream is called a turn and runs in its own process. Prints a table to stderr and one JSON object as
the last line of stdout. README.md explains the numbers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.programs.watched_preparation import measure_preparation

ROOT = Path(__file__).resolve().parents[1]
OURS, PEER = "nmt", "per-example"

Turns = dict[str, list[dict[str, float]]]  # OURS or PEER -> for each turn, the measured values by name


def main() -> None:
    """Measures preparation, streaming or both, and prints the results."""
    options = read_options()
    result: dict[str, float] = {}
    if options.only != "stream":
        result |= measure_preparation(options.data, options.pairs)
    if options.only != "prepare":
        result |= measure_stream(
            options.data, options.pairs, rounds=options.rounds, seconds=options.seconds, batch_tokens=options.tokens
        )
    print(json.dumps({**result, "pairs": options.pairs, "rounds": options.rounds, "cores": os.cpu_count()}))


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Measures the preparation of a corpus and the stream of training batches.",
        epilog="example: python -m benchmarks.corpora --data corpora --pairs 4500000 --rounds 3",
    )
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with files train….en and train….de, also .gz, at any depth"
    )
    parser.add_argument("--pairs", type=int, default=4_500_000, help="size of the corpus (default: 4500000)")
    parser.add_argument("--only", choices=("prepare", "stream"), help="measure only this (default: both)")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program (default: 3)")
    parser.add_argument(
        "--seconds", type=float, default=10, help="seconds of a turn, without the first batches (default: 10)"
    )
    parser.add_argument(
        "--tokens", type=int, default=25_000, help="maximum tokens per side of a batch (default: 25000)"
    )
    return parser.parse_args(arguments)


def measure_stream(text: Path, pairs: int, *, rounds: int, seconds: float, batch_tokens: int) -> dict[str, float]:
    """Measures our stream and the usual `tf.data` pipeline in each round, and returns the results of `figures`.

    Prints a table to stderr.

    Args:
        text: A folder with files train….en and train….de, at any depth. A prepared corpus is built from these files.
        pairs: Number of pairs in the prepared corpus.
        rounds: Number of measurements of each stream.
        seconds: Duration of one measurement, without the first batches.
        batch_tokens: Maximum number of tokens per side of a batch.
    """
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        run("benchmarks.data.stream_corpus", text, data, pairs)
        turns: Turns = {OURS: [], PEER: []}
        for _ in range(rounds):
            for program, records in turns.items():
                records.append(json.loads(run("benchmarks.programs.stream_turn", program, data, batch_tokens, seconds)))
    for line in table(turns):
        print(line, file=sys.stderr)
    return figures(turns)


def run(module: str, *arguments: Any) -> str:
    """Runs a module in a new process without a GPU, and returns the last line of its stdout.

    If the module fails, exits with the end of its stderr as the message.
    """
    command = [sys.executable, "-m", module, *map(str, arguments)]
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{module} failed: {done.stderr[-2000:]}")
    return done.stdout.strip().rpartition("\n")[2]


def figures(turns: Turns) -> dict[str, float]:
    """Returns the results of our stream: medians over the rounds, the highest peak memory, and ratios to the peer.

    The peer is the usual `tf.data` pipeline. In each round, our value is divided by the peer's value. The returned
    ratio is the median of these quotients.
    """
    ours = turns[OURS]

    def median_of(name: str) -> float:
        return median(turn[name] for turn in ours)

    def ratio(name: str) -> float:
        return median(mine[name] / theirs[name] for mine, theirs in zip(ours, turns[PEER], strict=True))

    return {
        "stream_tokens_per_second": round(median_of("tokens_per_second")),
        "stream_tokens_per_cpu_second": round(median_of("tokens_per_cpu_second")),
        "padding_share": round(median_of("padding_share"), 4),
        "peak_memory_mib": round(max(turn["peak_memory_mib"] for turn in ours)),
        "first_batch_seconds": round(median_of("first_batch_seconds"), 2),
        "first_batch_cpu_seconds": round(median_of("first_batch_cpu_seconds"), 2),
        "resume_seconds": round(median_of("resume_seconds"), 2),
        "resume_cpu_seconds": round(median_of("resume_cpu_seconds"), 2),
        "ratio_to_per_example": round(ratio("tokens_per_second"), 1),
        "ratio_to_per_example_per_cpu_second": round(ratio("tokens_per_cpu_second"), 1),
    }


def table(turns: Turns) -> Iterator[str]:
    """Yields the lines of a Markdown table with one row for each stream.

    A row has the medians over the rounds, the slowest and the fastest round, and the highest peak memory.
    """
    yield "| program | real tokens/s (all rounds) | per CPU-second | padding | first batch | resumed | peak MiB |"
    yield "|---|---|---|---|---|---|---|"
    for program, records in turns.items():
        speeds = [record["tokens_per_second"] for record in records]
        medians = {name: median(record[name] for record in records) for name in records[0]}
        resumed = f"{medians['resume_seconds']:.2f} s" if "resume_seconds" in medians else "cannot"
        yield (
            f"| {program} | {median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f}) "
            f"| {medians['tokens_per_cpu_second']:,.0f} | {medians['padding_share']:.1%} "
            f"| {medians['first_batch_seconds']:.2f} s | {resumed} "
            f"| {max(record['peak_memory_mib'] for record in records):,.0f} |"
        )


if __name__ == "__main__":
    main()
