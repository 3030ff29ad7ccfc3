"""Compares the training speed and memory of this program with those of other libraries, its peers.

Whole training steps of Transformer base, with a shared vocabulary of 32,000 pieces, are measured on the CPU. In each
round, all programs are measured one after another, because the speed of a shared machine changes within minutes. Prints
a table to stderr and one JSON object as the last line of stdout. README.md explains the numbers, and how to create the
environments of the peers.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

from keras_nmt.app.runtime.processor_settings import apply_processor_settings
from keras_nmt.app.runtime.processors import processor_name

ROOT = Path(__file__).resolve().parents[1]
OURS = "nmt"
MODULES = {
    OURS: "benchmarks.programs.nmt_train",
    "opennmt-tf": "benchmarks.peers.opennmt_tf",
    "hf-marian": "benchmarks.peers.hf_marian",
    "keras-hub": "benchmarks.peers.keras_hub_fit",
}
PEERS = tuple(name for name in MODULES if name != OURS)
PRECISIONS = ("bfloat16", "float32")
STARTING_SECONDS = 900  # for imports, tracing and warm-up on a busy machine


@dataclass(frozen=True)
class Turn:
    """One measurement of one program, which trains for some seconds in its own process.

    Attributes:
        program: Name of the program, a key of MODULES.
        precision: Precision of the training, one of PRECISIONS.
        batch_tokens: Batch size in target tokens.
        round: Number of the round, from 0.
    """

    program: str
    precision: str
    batch_tokens: int
    round: int


@dataclass(frozen=True)
class TurnResult:
    """Result of one measurement.

    Attributes:
        turn: The measurement.
        tokens_per_second: Target tokens per second, the median over the steps.
        tokens_per_cpu_second: Target tokens per second of CPU time, the median over the steps.
        peak_memory_gib: Peak memory of the process, in GiB.
    """

    turn: Turn
    tokens_per_second: float
    tokens_per_cpu_second: float
    peak_memory_gib: float


def main() -> None:
    """Measures all programs and prints the results."""
    options = read_options()
    apply_processor_settings()  # the peers inherit the environment, so oneDNN is on for all programs
    pythons = {OURS: sys.executable, **dict(options.peer)}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.data.training_corpus", str(data), *map(str, options.tokens)],
            cwd=ROOT,
            check=True,
        )
        results = list(measure_all(options, pythons, data))
    if not any(result.turn.program == OURS for result in results):
        sys.exit("this program's own training was not measured")
    for line in table(results):
        say(line)
    left_out = sorted(set(PEERS) - {result.turn.program for result in results})
    if left_out:
        say(f"left out: {', '.join(left_out)}")
    figures = summary(results, options.precision)
    conditions = {
        "processor": processor_name(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "left_out": left_out,
    }
    print(json.dumps({**figures, **conditions}))


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description="Compares training with that of peers on the same sentences.",
        epilog="example: python -m benchmarks.train --peer opennmt-tf=envs/opennmt-tf/bin/python --rounds 3",
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=named_python,
        metavar="NAME=PYTHON",
        help=f"a peer and the Python of its environment; may be repeated; NAME is one of {', '.join(PEERS)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="turns of each program (default: 3)")
    parser.add_argument("--seconds", type=float, default=20, help="length of a turn, without the warm-up (default: 20)")
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[4096, 1024], help="batch sizes in target tokens (default: 4096 1024)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        nargs="+",
        default=list(PRECISIONS),
        help="the figures of the first are at the top of the result (default: bfloat16 float32)",
    )
    return parser.parse_args(arguments)


def named_python(text: str) -> tuple[str, str]:
    """Splits an argument such as "hf-marian=envs/hf/bin/python" into the peer's name and an absolute path.

    Raises:
        argparse.ArgumentTypeError: The name is not that of a peer, or the path is not an executable file.
    """
    name, _, python = text.partition("=")
    if name not in PEERS or not python:
        raise argparse.ArgumentTypeError(f"expected NAME=PYTHON with NAME one of {', '.join(PEERS)}; found {text!r}")
    if not os.access(python, os.X_OK):
        raise argparse.ArgumentTypeError(f"{python} is not an executable; create the environment of {name} first")
    return name, os.path.abspath(python)


def measure_all(options: argparse.Namespace, pythons: Mapping[str, str], data: Path) -> Iterator[TurnResult]:
    """Measures all programs and yields the results, round by round. Failed measurements are left out.

    Args:
        options: The command line. Programs are measured in each round with each precision and batch size.
        pythons: Program name -> path of the Python that runs the program.
        data: The folder of the training corpus.
    """
    for number, precision, tokens, program in product(
        range(options.rounds), options.precision, options.tokens, pythons
    ):
        result = measure(Turn(program, precision, tokens, number), pythons[program], data, options.seconds)
        if result:
            speeds = f"{result.tokens_per_second:,.0f} tokens/s, {result.tokens_per_cpu_second:,.0f} per CPU-second"
            say(f"round {number + 1}: {program} {precision} {tokens}: {speeds}")
            yield result


def measure(turn: Turn, python: str, data: Path, seconds: float) -> TurnResult | None:
    """Runs one measurement and returns the result, or prints a line to stderr and returns None if the program fails."""
    command = [python, "-m", MODULES[turn.program], "--data", data, "--tokens", turn.batch_tokens]
    command += ["--precision", turn.precision, "--seconds", seconds]
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # only the CPU is measured
            capture_output=True,
            text=True,
            check=True,
            timeout=STARTING_SECONDS + 5 * seconds,
        )
        figures = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
        message = str(getattr(error, "stderr", None) or "").strip().splitlines()[-1:]
        say(f"{turn.program} {turn.precision} {turn.batch_tokens} gave no result: {' '.join([str(error), *message])}")
        return None
    return TurnResult(turn, figures["tokens_per_second"], figures["tokens_per_cpu_second"], figures["peak_memory_gib"])


def summary(results: Sequence[TurnResult], precisions: Sequence[str]) -> dict[str, Any]:
    """Returns the results of our training in each precision (see `our_figures`).

    The results of the first precision are at the top level of the dictionary. The results of each other precision are
    in a nested dictionary with the precision as its key.
    """
    first, *others = precisions
    return {**our_figures(results, first), **{name: our_figures(results, name) for name in others}}


def our_figures(results: Sequence[TurnResult], precision: str) -> dict[str, dict[str, Any]]:
    """Returns the results of our training in one precision.

    Returns:
        A nested dictionary: name of the result, such as "peak_memory_gib" -> batch size -> value. Speeds are medians
        over the rounds.
    """
    figures: dict[str, dict[str, Any]] = {}
    ours = [result for result in results if result.turn.program == OURS and result.turn.precision == precision]
    for tokens in sorted({result.turn.batch_tokens for result in ours}, reverse=True):
        own = [result for result in ours if result.turn.batch_tokens == tokens]
        peers = [r for r in results if r.turn.batch_tokens == tokens and competes(r.turn, precision)]
        row = {
            "target_tokens_per_second": median(result.tokens_per_second for result in own),
            "target_tokens_per_cpu_second": median(result.tokens_per_cpu_second for result in own),
            "peak_memory_gib": max(result.peak_memory_gib for result in own),
            **comparison(own, peers),
        }
        for name, value in row.items():
            figures.setdefault(name, {})[str(tokens)] = value
    return figures


def competes(turn: Turn, precision: str) -> bool:
    """Returns True if our training in `precision` is compared with this measurement of a peer.

    A peer's measurement in float32 is compared with our training in both precisions, because a user of the peer would
    choose the faster precision.
    """
    return turn.program != OURS and turn.precision in (precision, "float32")


def comparison(own: Sequence[TurnResult], peers: Sequence[TurnResult]) -> dict[str, Any]:
    """Compares our measurements with those of the peers, all for the same batch size.

    In each round, our value is divided by the peer's value. The ratio to a peer is the median of these quotients.

    Returns:
        The lowest ratio of tokens per second and the name of the peer with this ratio, the lowest ratio of tokens per
        CPU-second, and the smallest peak memory of a peer. The result is empty if no peer was measured in the same
        rounds.
    """
    ours = {result.turn.round: result for result in own}
    by_peer: dict[str, list[TurnResult]] = {}
    for result in peers:
        if result.turn.round in ours:
            by_peer.setdefault(f"{result.turn.program} {result.turn.precision}", []).append(result)
    if not by_peer:
        return {}

    def lowest_ratio(name: str) -> tuple[float, str]:
        return min(
            (median(getattr(ours[result.turn.round], name) / getattr(result, name) for result in group), peer)
            for peer, group in by_peer.items()
        )

    ratio, best_peer = lowest_ratio("tokens_per_second")
    return {
        "ratio_to_best_peer": round(ratio, 2),
        "best_peer": best_peer,
        "ratio_to_best_peer_per_cpu_second": round(lowest_ratio("tokens_per_cpu_second")[0], 2),
        "leanest_peer_gib": min(max(result.peak_memory_gib for result in group) for group in by_peer.values()),
    }


def table(results: Iterable[TurnResult]) -> Iterator[str]:
    """Yields the lines of a Markdown table with one row for each precision, batch size and program.

    A row has the medians over the rounds, the slowest and the fastest round, and the highest peak memory.
    """
    groups: dict[tuple[str, int, str], list[TurnResult]] = {}
    for result in results:
        turn = result.turn
        groups.setdefault((turn.precision, -turn.batch_tokens, turn.program), []).append(result)
    yield "| precision | batch | program | target tokens/s (all rounds) | per CPU-second | peak GiB |"
    yield "|---|---|---|---|---|---|"
    for (precision, tokens, program), group in sorted(groups.items()):
        speeds = [result.tokens_per_second for result in group]
        yield (
            f"| {precision} | {-tokens:,} | {program} "
            f"| {median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f}) "
            f"| {median(result.tokens_per_cpu_second for result in group):,.0f} "
            f"| {max(result.peak_memory_gib for result in group):.1f} |"
        )


def say(line: str) -> None:
    """Writes a line to stderr."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
