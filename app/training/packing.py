"""Decides whether several sentence pairs share a row of a batch."""

import tensorflow as tf

from app.config import Packing, TrainingConfig


def resolve_packing(packing: Packing) -> Packing:
    """Returns "on" or "off"; "auto" is "on" with a GPU, because there each batch shape costs a compilation."""
    if packing != "auto":
        return packing
    return "on" if tf.config.list_physical_devices("GPU") else "off"


def is_packed(settings: TrainingConfig) -> bool:
    """True if pairs share rows in a training with these settings."""
    return resolve_packing(settings.packing) == "on"
