"""How fast this program trains, and in how much memory, beside what one would train with instead.

Transformer base with a shared vocabulary of 32,000 on the processor, whole train steps. The programs take turns, round
by round, since the speed of a shared machine changes within minutes. A table goes to stderr, the last line of stdout
is one JSON object; README.md says what its figures mean and how to make the environments of the peers.
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

from app.runtime.processor_settings import apply_processor_settings
from app.runtime.processors import processor_name

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
    """A program trains for some seconds in a process of its own."""

    program: str
    precision: str
    batch_tokens: int
    round: int


@dataclass(frozen=True)
class Record:
    """What a turn gave: medians over its steps, and the most memory its process held."""

    turn: Turn
    tokens_per_second: float
    tokens_per_cpu_second: float
    peak_memory_gib: float


def main() -> None:
    """Measures, and prints the result."""
    options = read_options()
    apply_processor_settings()  # the peers inherit the environment: oneDNN is on for all
    pythons = {OURS: sys.executable, **dict(options.peer)}
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.data.training_corpus", str(data), *map(str, options.tokens)],
            cwd=ROOT,
            check=True,
        )
        records = list(measure_all(options, pythons, data))
    if not any(record.turn.program == OURS for record in records):
        sys.exit("this program's own training was not measured")
    for line in table(records):
        say(line)
    left_out = sorted(set(PEERS) - {record.turn.program for record in records})
    if left_out:
        say(f"left out: {', '.join(left_out)}")
    result = summary(records, options.precision)
    conditions = {
        "processor": processor_name(),
        "rounds": options.rounds,
        "seconds": options.seconds,
        "cores": os.cpu_count(),
        "left_out": left_out,
    }
    print(json.dumps({**result, **conditions}))


def read_options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The options of the command line."""
    parser = argparse.ArgumentParser(
        description="Measures training beside peers on the same sentences.",
        epilog="example: python -m benchmarks.train --peer opennmt-tf=envs/opennmt-tf/bin/python --rounds 3",
    )
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        type=named_python,
        metavar="NAME=PYTHON",
        help=f"a peer and the Python of its environment; may be repeated; NAME: {', '.join(PEERS)}",
    )
    parser.add_argument("--rounds", type=int, default=3, help="how often each program gets its turn (default: 3)")
    parser.add_argument("--seconds", type=float, default=20, help="of a turn, after the warm-up (default: 20)")
    parser.add_argument(
        "--tokens", type=int, nargs="+", default=[4096, 1024], help="target tokens of a batch (default: 4096 1024)"
    )
    parser.add_argument(
        "--precision",
        choices=PRECISIONS,
        nargs="+",
        default=list(PRECISIONS),
        help="the first one's figures are the main ones (default: bfloat16 float32)",
    )
    return parser.parse_args(arguments)


def named_python(text: str) -> tuple[str, str]:
    """ "hf-marian=envs/hf/bin/python" -> the two parts."""
    name, _, python = text.partition("=")
    if name not in PEERS or not python:
        raise argparse.ArgumentTypeError(f"expected NAME=PYTHON with NAME one of {', '.join(PEERS)}; found {text!r}")
    if not os.access(python, os.X_OK):
        raise argparse.ArgumentTypeError(f"{python} is no Python that can be run; make the environment of {name} first")
    return name, os.path.abspath(python)


def measure_all(options: argparse.Namespace, pythons: Mapping[str, str], data: Path) -> Iterator[Record]:
    """Lets the programs take turns."""
    for number, precision, tokens, program in product(
        range(options.rounds), options.precision, options.tokens, pythons
    ):
        record = measure(Turn(program, precision, tokens, number), pythons[program], data, options.seconds)
        if record:
            speeds = f"{record.tokens_per_second:,.0f} tokens/s, {record.tokens_per_cpu_second:,.0f} per CPU-second"
            say(f"round {number + 1}: {program} {precision} {tokens}: {speeds}")
            yield record


def measure(turn: Turn, python: str, data: Path, seconds: float) -> Record | None:
    """Runs a program; None, and a line on stderr, if it fails."""
    command = [python, "-m", MODULES[turn.program], "--data", data, "--tokens", turn.batch_tokens]
    command += ["--precision", turn.precision, "--seconds", seconds]
    try:
        done = subprocess.run(
            [str(word) for word in command],
            cwd=ROOT,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},  # the processor's speed is compared
            capture_output=True,
            text=True,
            check=True,
            timeout=STARTING_SECONDS + 5 * seconds,
        )
        figures = json.loads(done.stdout.splitlines()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError) as error:
        told = str(getattr(error, "stderr", None) or "").strip().splitlines()[-1:]
        say(f"{turn.program} {turn.precision} {turn.batch_tokens} gave no result: {' '.join([str(error), *told])}")
        return None
    return Record(turn, figures["tokens_per_second"], figures["tokens_per_cpu_second"], figures["peak_memory_gib"])


def summary(records: Sequence[Record], precisions: Sequence[str]) -> dict[str, Any]:
    """The figures by batch size: those of the first precision, and under its name those of each further one."""
    first, *others = precisions
    return {**our_figures(records, first), **{name: our_figures(records, name) for name in others}}


def our_figures(records: Sequence[Record], precision: str) -> dict[str, dict[str, Any]]:
    """Our training in one precision: each figure by batch size."""
    result: dict[str, dict[str, Any]] = {}
    ours = [record for record in records if record.turn.program == OURS and record.turn.precision == precision]
    for tokens in sorted({record.turn.batch_tokens for record in ours}, reverse=True):
        own = [record for record in ours if record.turn.batch_tokens == tokens]
        rivals = [r for r in records if r.turn.batch_tokens == tokens and competes(r.turn, precision)]
        row = {
            "target_tokens_per_second": median(record.tokens_per_second for record in own),
            "target_tokens_per_cpu_second": median(record.tokens_per_cpu_second for record in own),
            "peak_memory_gib": max(record.peak_memory_gib for record in own),
            **comparison(own, rivals),
        }
        for name, value in row.items():
            result.setdefault(name, {})[str(tokens)] = value
    return result


def competes(turn: Turn, precision: str) -> bool:
    """A peer in float32 competes with us in bfloat16 too: one takes what is faster. The other way round it does not."""
    return turn.program != OURS and turn.precision in (precision, "float32")


def comparison(own: Sequence[Record], rivals: Sequence[Record]) -> dict[str, Any]:
    """Our turns beside those of the peers in one batch size; empty without a peer.

    A ratio to a peer is the median over rounds of the ratio within a round; given is the least among the peers.
    """
    ours = {record.turn.round: record for record in own}
    of_peer: dict[str, list[Record]] = {}
    for record in rivals:
        if record.turn.round in ours:
            of_peer.setdefault(f"{record.turn.program} {record.turn.precision}", []).append(record)
    if not of_peer:
        return {}

    def least_ratio(name: str) -> tuple[float, str]:
        return min(
            (median(getattr(ours[record.turn.round], name) / getattr(record, name) for record in group), peer)
            for peer, group in of_peer.items()
        )

    ratio, best_peer = least_ratio("tokens_per_second")
    return {
        "ratio_to_best_peer": round(ratio, 2),
        "best_peer": best_peer,
        "ratio_to_best_peer_per_cpu_second": round(least_ratio("tokens_per_cpu_second")[0], 2),
        "leanest_peer_gib": min(max(record.peak_memory_gib for record in group) for group in of_peer.values()),
    }


def table(records: Iterable[Record]) -> Iterator[str]:
    """A line for each program, precision and batch size: medians over the rounds, and the slowest and fastest round."""
    groups: dict[tuple[str, int, str], list[Record]] = {}
    for record in records:
        turn = record.turn
        groups.setdefault((turn.precision, -turn.batch_tokens, turn.program), []).append(record)
    yield "| precision | batch | program | target tokens/s (all rounds) | per CPU-second | peak GiB |"
    yield "|---|---|---|---|---|---|"
    for (precision, tokens, program), group in sorted(groups.items()):
        speeds = [record.tokens_per_second for record in group]
        yield (
            f"| {precision} | {-tokens:,} | {program} "
            f"| {median(speeds):,.0f} ({min(speeds):,.0f} to {max(speeds):,.0f}) "
            f"| {median(record.tokens_per_cpu_second for record in group):,.0f} "
            f"| {max(record.peak_memory_gib for record in group):.1f} |"
        )


def say(line: str) -> None:
    """Writes a line to stderr."""
    print(line, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
