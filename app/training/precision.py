"""Chooses the numeric precision of training from the hardware of this machine."""

import tensorflow as tf

from keras_nmt.app.config import PrecisionPolicy
from keras_nmt.app.runtime.processors import processor_flags

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}  # processors with one of these multiply bfloat16 faster than float32


def resolve_precision(precision: PrecisionPolicy) -> PrecisionPolicy:
    """Returns `precision`. Replaces "auto" by mixed_bfloat16 if `multiplies_bfloat16()`, else by float32."""
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if multiplies_bfloat16() else "float32"


def multiplies_bfloat16() -> bool:
    """True if this machine multiplies bfloat16 faster than float32."""
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        capability = tf.config.experimental.get_device_details(gpus[0]).get("compute_capability", (0, 0))
        return bool(capability >= (8, 0))  # Ampere or newer
    return bool(processor_flags() & BFLOAT16_FLAGS)
