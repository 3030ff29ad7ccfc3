"""Measures `nmt serve` with 1, 8 and 64 clients, and compares it with translating the same text offline.

Each client sends one sentence at a time over a persistent connection and waits for its translation. Prints a table to
stderr and one JSON object as the last line of stdout. README.md explains the numbers.
"""

import argparse
import asyncio
import json
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median, quantiles
from typing import Any

from keras_nmt.app.runtime.text_files import read_lines

CLIENTS = (1, 8, 64)
OFFLINE = """
import sys, time
from pathlib import Path
from keras_nmt.app.runtime.processors import batches_at_once
from keras_nmt.app.runtime.tensorflow_start import import_tensorflow
from keras_nmt.app.runtime.text_files import read_lines
import_tensorflow(batches_at_once=batches_at_once())
from keras_nmt.app.models.loading import load_model
translator = load_model(Path(sys.argv[1])).translator(batches_at_once=batches_at_once())
lines = read_lines(Path(sys.argv[2]))[: int(sys.argv[3])]
translator.translate(lines[:64])
begun = time.perf_counter()
translator.translate(lines)
print(len(lines) / (time.perf_counter() - begun))
"""


def main() -> None:
    """Measures the server and prints the results."""
    options = read_options()
    sentences = read_lines(options.source)[: options.sentences]
    by_clients: dict[int, list[dict[str, float]]] = {clients: [] for clients in CLIENTS}
    offline, memory = [], {}
    with Server(options.export) as server:
        asyncio.run(load(server, sentences[:64], clients=8, requests=64))  # warm-up: each kernel runs once
        for number in range(options.rounds):
            server.pause()
            offline.append(offline_speed(options, len(sentences)))
            server.resume()
            for clients in CLIENTS:
                requests = len(sentences) if clients > 1 else max(20, len(sentences) // 10)
                by_clients[clients].append(asyncio.run(load(server, sentences, clients=clients, requests=requests)))
            show(number, offline[-1], {clients: found[-1] for clients, found in by_clients.items()})
    if options.memory_after:
        with Server(options.export) as server:
            for requests in (options.memory_after, 10 * options.memory_after):
                asyncio.run(load(server, sentences, clients=64, requests=requests - server.answered()))
                memory[requests] = server.memory_mib()
    best = [found["sentences_per_second"] for found in by_clients[64]]
    growth = memory[10 * options.memory_after] / memory[options.memory_after] - 1 if memory else None
    print(
        json.dumps(
            {
                "throughput_of_offline": round(median(a / b for a, b in zip(best, offline, strict=True)), 3),
                "failed": sum(int(found["failed"]) for each in by_clients.values() for found in each),
                "memory_growth": None if growth is None else round(growth, 4),
                "offline_sentences_per_second": [round(value, 1) for value in offline],
                "clients": by_clients,
                "memory_mib": memory,
            }
        )
    )


def read_options() -> argparse.Namespace:
    """Parses the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, epilog="example: python -m benchmarks.serve --export demo/export --source test.en"
    )
    add = parser.add_argument
    add("--export", type=Path, required=True, metavar="EXPORT", help="output of `nmt export`")
    add("--source", type=Path, required=True, metavar="F", help="text to translate")
    add("--sentences", type=int, default=1000, help="number of lines to translate (default: 1000)")
    add("--rounds", type=int, default=3, help="number of rounds (default: 3)")
    add(
        "--memory-after",
        type=int,
        default=2000,
        metavar="N",
        help="compare memory after N and 10 N requests; 0 skips this (default: 2000)",
    )
    return parser.parse_args()


class Server:
    """A context manager that runs `nmt serve` in a process.

    Entering the context waits until the server is ready. Leaving the context ends the process.
    """

    def __init__(self, export: Path) -> None:
        command = [sys.executable, "-m", "keras_nmt", "serve", str(export), "--port", "0", "--no-access-log"]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, encoding="utf-8")
        self.port = 0
        self.pair: dict[str, str] = {}

    def __enter__(self) -> "Server":
        assert self.process.stderr
        for line in self.process.stderr:
            if found := re.match(r"http://.*:(\d+) ", line):
                self.port = int(found.group(1))
                model = json.loads(asyncio.run(get(self.port, "/api/models")))[0]
                self.pair = {side: model[side]["code"] for side in ("source", "target")}
                while re.search(rb"nmt_model_warm\{.*\} 0", self.metrics()):
                    time.sleep(0.5)  # the server runs every signature once, also those not measured
                return self
        raise RuntimeError(f"the server ended with {self.process.wait()}")

    def __exit__(self, *_: Any) -> None:
        self.process.terminate()
        self.process.wait()

    def pause(self) -> None:
        """Suspends the server process, so that it does not slow down another measurement."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continues the suspended server process."""
        self.process.send_signal(signal.SIGCONT)

    def memory_mib(self) -> float:
        """Returns the resident memory of the server process in MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found
        return int(found.group(1)) / 1024

    def answered(self) -> int:
        """Returns the number of requests to /translate that the server has answered with status 200."""
        found = re.findall(rb'nmt_requests_total\{route="/translate",status="200"\} ([\d.e+]+)', self.metrics())
        return int(float(found[0])) if found else 0

    def metrics(self) -> bytes:
        """Returns the Prometheus metrics of the server in text format."""
        return asyncio.run(get(self.port, "/metrics"))


async def get(port: int, path: str) -> bytes:
    """Sends a GET request to the local server at `port`, and returns the body of the response."""
    connection = await asyncio.open_connection("127.0.0.1", port)
    _, body = await exchange(connection, f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
    connection[1].close()
    return body


async def load(server: "Server", sentences: Sequence[str], *, clients: int, requests: int) -> dict[str, float]:
    """Sends `requests` sentences to the server, from `clients` concurrent clients.

    If there are fewer sentences than requests, the sentences are repeated.

    Returns:
        Sentences per second, latency percentiles in milliseconds, and the number of failed requests.
    """
    left = iter(list(islice(cycle(sentences), max(0, requests))))
    milliseconds: list[float] = []
    failed = 0

    async def client() -> None:
        nonlocal failed
        connection = await asyncio.open_connection("127.0.0.1", server.port)
        for sentence in left:
            body = json.dumps({"q": sentence, **server.pair}).encode()
            head = b"POST /translate HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
            begun = time.perf_counter()
            status, _ = await exchange(connection, head + b"content-length: %d\r\n\r\n" % len(body) + body)
            milliseconds.append(1000 * (time.perf_counter() - begun))
            failed += status != 200
        connection[1].close()

    begun = time.perf_counter()
    await asyncio.gather(*(client() for _ in range(clients)))
    seconds = time.perf_counter() - begun
    if len(milliseconds) < 2:
        return {"sentences_per_second": 0.0, "failed": failed}
    shares = quantiles(milliseconds, n=100, method="inclusive")
    figures = {"p50_ms": shares[49], "p95_ms": shares[94], "p99_ms": shares[98]}
    speed = {"sentences_per_second": len(milliseconds) / seconds, "failed": failed}
    return {name: round(value, 1) for name, value in (speed | figures).items()}


Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def exchange(connection: Connection, request: bytes) -> tuple[int, bytes]:
    """Sends an HTTP request and returns the status and the body of the response.

    No client library is used, because a library would take CPU time from the server.
    """
    reader, writer = connection
    writer.write(request)
    head = await reader.readuntil(b"\r\n\r\n")
    length = re.search(rb"content-length: (\d+)", head)
    body = await reader.readexactly(int(length.group(1)) if length else 0)
    return int(head.split()[1]), body


def offline_speed(options: argparse.Namespace, sentences: int) -> float:
    """Returns the sentences per second of offline translation in a new process, without the time for loading.

    The first `sentences` lines of the source text are translated.
    """
    command = [sys.executable, "-c", OFFLINE, str(options.export), str(options.source), str(sentences)]
    return float(subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout)


def show(number: int, offline: float, found: dict[int, dict[str, float]]) -> None:
    """Prints the results of one round to stderr.

    Args:
        number: Number of the round, from 0.
        offline: Sentences per second of offline translation.
        found: Number of clients -> result of `load`.
    """
    print(f"round {number + 1}: offline {offline:.1f} sentences/s", file=sys.stderr)
    for clients, figures in found.items():
        print(f"  {clients:>2} clients: " + "  ".join(f"{k} {v:g}" for k, v in figures.items()), file=sys.stderr)


if __name__ == "__main__":
    main()
