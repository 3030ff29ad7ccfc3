"""Measures the memory of this machine that is free for training, and the peak memory of this process."""

import os
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf
from tensorflow.python.client import device_lib


def memory_per_replica() -> int:
    """Returns the free bytes of the smallest GPU. Without a GPU, returns a replica's share of the free main memory."""
    gpus = [device.memory_limit for device in device_lib.list_local_devices() if device.device_type == "GPU"]
    if gpus:
        return min(gpus)
    cpu = tf.config.list_physical_devices("CPU")[0]
    # Not `list_logical_devices`, which lists the devices of all machines that train together.
    return available_memory() // len(tf.config.get_logical_device_configuration(cpu) or [cpu])


def available_memory(root: Path = Path("/")) -> int:
    """Returns the bytes of main memory that are free without swapping and within the limits of the control groups."""
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemAvailable:"):
            return max(0, min(int(line.split()[1]) << 10, *_left_by_control_groups(root)))
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")  # not Linux: all memory is the best guess


def peak_memory() -> int:
    """Returns the peak memory of this process so far, in bytes: of the GPU with the highest peak, or of main memory."""
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        return max(tf.config.experimental.get_memory_info(gpu.name)["peak"] for gpu in gpus)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak << 10


def _left_by_control_groups(root: Path) -> Iterator[int]:
    """Yields the bytes left under the limit of each control group of this process (cgroups(7), v1 and v2).

    The inactive file cache counts as free.
    """
    yield sys.maxsize
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controller, group = line.split(":", maxsplit=2)
        mount, limit, usage = {
            "": ("sys/fs/cgroup", "memory.max", "memory.current"),
            "memory": ("sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        }.get(controller, ("", "", ""))
        here = root / mount / group.strip("/")
        for folder in (here, *here.parents) if mount else ():  # in a container, only some of these folders exist
            most = _text(folder / limit).strip()
            if most.isdigit():  # "max" is no limit
                cache = dict(line.split() for line in _text(folder / "memory.stat").splitlines())
                yield int(most) - int(_text(folder / usage)) + int(cache.get("inactive_file", 0))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""
