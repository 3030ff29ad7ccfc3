"""Decides whether several sentence pairs share a row of a batch, and returns the options of the training stream."""

import tensorflow as tf

from keras_nmt.app.config import Packing, TrainingConfig
from keras_nmt.pipelines.streaming.options import StreamOptions


def resolve_packing(packing: Packing) -> Packing:
    """Returns `packing`. Replaces "auto" by "on" if there is a GPU, else by "off".

    On a GPU, the program is compiled for each batch shape. Packed batches all have the same shape.
    """
    if packing != "auto":
        return packing
    return "on" if tf.config.list_physical_devices("GPU") else "off"


def is_packed(settings: TrainingConfig) -> bool:
    """True if several sentence pairs share a row in a training with these settings."""
    return resolve_packing(settings.packing) == "on"


def stream_options(settings: TrainingConfig) -> StreamOptions:
    """Returns the options of the training stream for these settings."""
    return StreamOptions(
        batch_tokens=settings.batch_tokens,
        max_length=settings.max_length,
        seed=settings.seed,
        sampling_alpha=settings.sampling_alpha,
        corpus_temperature=settings.sampling_temperature,
        packed=is_packed(settings),
    )
