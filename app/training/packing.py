"""Whether several pairs share a row of a batch. "auto" asks the machine."""

import tensorflow as tf

from app.config import Packing, TrainingConfig


def resolve_packing(packing: Packing) -> Packing:
    """Returns "on" or "off"; "auto" is "on" where there is a GPU, for which each shape of a batch is compiled."""
    if packing != "auto":
        return packing
    return "on" if tf.config.list_physical_devices("GPU") else "off"


def is_packed(settings: TrainingConfig) -> bool:
    """True if several pairs share a row in a training with these settings."""
    return resolve_packing(settings.packing) == "on"
