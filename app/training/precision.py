"""Which numbers to compute with. "auto" asks the machine."""

from pathlib import Path

import tensorflow as tf

from app.config import Precision

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # processors that multiply bfloat16 faster than float32


def resolve_precision(precision: Precision) -> Precision:
    """The Keras policy for a setting: "auto" is mixed_bfloat16 where the hardware multiplies it, else float32."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if multiplies_bfloat16() else "float32"


def multiplies_bfloat16() -> bool:
    """Whether this machine multiplies bfloat16 faster than float32."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return bool(capability >= (8, 0))  # from Ampere on
    return bool(processor_flags() & BFLOAT16_FLAGS)


def processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """The first processor's feature flags as Linux names them; empty where the system does not tell."""
    if not cpuinfo.is_file():
        return set()
    lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    flags = (line.partition(":")[2] for line in lines if line.startswith("flags"))
    return set(next(flags, "").split())
