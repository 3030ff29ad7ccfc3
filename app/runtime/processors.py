"""The processors of this machine: how many there are, and which instructions they know. Imports no TensorFlow.

Between the products of a search there is much that a second thread cannot help with. So on a CPU it is better that each
batch keeps to its own threads, and that several batches are translated at once.
"""

import os
import platform
from pathlib import Path

MOST_BATCHES = 8  # at once; each needs memory of its own
CPUINFO = Path("/proc/cpuinfo")
X86 = {"x86_64", "amd64"}
NOTABLE_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def batches_at_once() -> int:
    """One for each processor, up to `MOST_BATCHES`."""
    return min(MOST_BATCHES, processors())


def processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_x86() -> bool:
    """True on an x86 processor of 64 bits."""
    return platform.machine().lower() in X86


def processor_flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """The first processor's feature flags as Linux names them; empty where the system does not tell."""
    return set(_field("flags", cpuinfo).split())


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """The first processor's model and those of its flags that decide how fast it multiplies."""
    model = " ".join((_field("model name", cpuinfo) or platform.machine()).split())
    notable = [flag for flag in NOTABLE_FLAGS if flag in processor_flags(cpuinfo)]
    return f"{model} ({', '.join(notable)})" if notable else model


def _field(name: str, cpuinfo: Path) -> str:
    if not cpuinfo.is_file():
        return ""
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(":")[2] for line in lines if line.partition(":")[0].strip() == name), "")
