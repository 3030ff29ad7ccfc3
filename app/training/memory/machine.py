"""How much memory this machine has for training, and how much the process has taken. Estimates are not here."""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.python.client import device_lib


def memory_per_replica() -> int:
    """Bytes that each replica may take yet: of the smallest GPU, or a share of the main memory where there is none."""
    gpus = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    if gpus:
        return min(gpus)
    cpu = tf.config.list_physical_devices("CPU")[0]
    # Not `list_logical_devices`, which lists those of all machines that train together.
    return available_memory() // len(tf.config.get_logical_device_configuration(cpu) or [cpu])


def available_memory(root: Path = Path("/")) -> int:
    """Bytes of main memory that this process may take yet without swapping or meeting its control groups' limits."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return max(0, min(int(line.split()[1]) << 10, *_left_by_control_groups(root)))
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # no Linux: there is nothing better to ask


def peak_memory() -> int:
    """The most bytes that the process has held so far: on the GPU that held most, or in main memory."""
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        return max(tf.config.experimental.get_memory_info(gpu.name)["peak"] for gpu in gpus)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def _left_by_control_groups(root: Path) -> Iterator[int]:
    """What each of this process' control groups leaves, its file cache given back; cgroups(7), both versions."""
    yield sys.maxsize
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controller, group = line.split(":", maxsplit=2)
        mount, limit, usage = {
            "": ("sys/fs/cgroup", "memory.max", "memory.current"),
            "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        }.get(controller, ("", "", ""))
        here = root / mount / group.strip("/")
        for folder in (here, *here.parents) if mount else ():  # in a container only some of them are there
            most = _text(folder / limit).strip()
            if most.isdigit():  # "max" is none
                cache = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
                yield int(most) - int(_text(folder / usage)) + int(cache.get("inactive_file", 0))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
