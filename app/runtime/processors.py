"""The processors of this machine: their number and their instruction sets. Does not import TensorFlow.

Much of the time of a beam search is spent outside of matrix products, where a second thread does not help. So on a CPU
it is faster to translate several batches at once, each with its own threads.
"""

import os
import platform
from pathlib import Path

MOST_BATCHES = 8  # maximum number of batches at once, because each batch needs its own memory
CPUINFO = Path("/proc/cpuinfo")
X86 = {"x86_64", "amd64"}
NOTABLE_FLAGS = ("avx2", "avx512f", "avx_vnni", "avx512_vnni", "avx512_bf16", "amx_int8", "amx_bf16")


def batches_at_once() -> int:
    """Returns the number of batches to translate at once: one for each processor, at most `MOST_BATCHES`."""
    return min(MOST_BATCHES, processors())


def processors() -> int:
    """Returns the number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def is_x86() -> bool:
    """True on a 64-bit x86 processor."""
    return platform.machine().lower() in X86


def processor_flags(cpuinfo: Path = CPUINFO) -> set[str]:
    """Returns the feature flags of the first processor, as Linux names them; empty if the system lists no flags."""
    return set(_field("flags", cpuinfo).split())


def processor_name(cpuinfo: Path = CPUINFO) -> str:
    """Returns the model name of the first processor, with the flags that determine how fast it multiplies."""
    model = " ".join((_field("model name", cpuinfo) or platform.machine()).split())
    notable = [flag for flag in NOTABLE_FLAGS if flag in processor_flags(cpuinfo)]
    return f"{model} ({', '.join(notable)})" if notable else model


def _field(name: str, cpuinfo: Path) -> str:
    if not cpuinfo.is_file():
        return ""
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    return next((line.partition(":")[2] for line in lines if line.partition(":")[0].strip() == name), "")
