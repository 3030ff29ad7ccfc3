"""Measures `nmt prepare` on a large corpus: pairs per second, CPU time, and the memory of all its processes."""

import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SAMPLE_SECONDS = 0.25


def measure_preparation(text: Path, pairs: int) -> dict[str, float]:
    """Builds a corpus, measures `nmt prepare` on this corpus, and returns speed and peak memory.

    The default filters are used. Exits if `nmt prepare` fails.

    Args:
        text: A folder with files train….en and train….de, at any depth.
        pairs: Number of pairs in the corpus that is built from these files.
    """
    with tempfile.TemporaryDirectory() as folder:
        prefix = Path(folder) / "corpus"
        subprocess.run(
            [sys.executable, "-m", "benchmarks.data.preparation_corpus", str(text), str(prefix), str(pairs)],
            cwd=ROOT, check=True,
        )  # fmt: skip
        command = [
            *(sys.executable, "-m", "keras_nmt", "prepare", "--pair", "en-de", "--corpus", f"files:{prefix}"),
            *("--dev", "sample:tatoeba-en-de", "--out", f"{folder}/data"),
        ]
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL) as process:
            peak = PeakMemory(process.pid)
        seconds = time.perf_counter() - started
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        if process.returncode:
            sys.exit(f"nmt prepare failed with {process.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {
        "prepare_pairs_per_second": round(pairs / seconds),
        "prepare_pairs_per_cpu_second": round(pairs / cpu),
        "prepare_seconds": round(seconds, 1),
        "prepare_peak_memory_mib": round(peak.mib),
    }


class PeakMemory:
    """Watches the memory of a running process and all its descendants, until the process ends.

    `mib` is the largest memory of all these processes together so far, in MiB. A page that several processes share
    counts once.
    """

    def __init__(self, pid: int) -> None:
        self.mib = 0.0
        self._pid = pid
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while (now := sum(map(proportional_mib, descendants(self._pid)))) > 0:
            self.mib = max(self.mib, now)
            time.sleep(SAMPLE_SECONDS)


def descendants(pid: int) -> list[int]:
    """Returns the ids of a process and of all its descendants, the process first."""
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue  # the process has just ended
            children.setdefault(parent, []).append(int(entry.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def proportional_mib(pid: int) -> float:
    """Returns the proportional set size of a process in MiB, or 0 if the process has ended.

    A page that n processes share counts as 1/n of a page.
    """
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024
