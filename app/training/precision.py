"""Which numbers to compute with. "auto" asks the machine."""

import tensorflow as tf

from app.config import Precision
from app.runtime.processors import processor_flags

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
