"""Chooses the number of parts of a batch (`training.accumulation = 0`), and checks that a part fits the memory."""

import math
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import NamedTuple

import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.console import say
from keras_nmt.app.training.memory.estimate import MemoryEstimate, estimate_memory
from keras_nmt.app.training.memory.machine import memory_per_replica
from keras_nmt.app.training.packing import is_packed
from keras_nmt.pipelines.shards.lanes import LANES
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.splits import Split
from keras_nmt.pipelines.streaming.batching import BatchShape, largest_shapes
from keras_nmt.pipelines.streaming.packing import packed_shape

USABLE = 0.85  # share of the memory to plan with; the rest is for fluctuations and for gaps between tensors
HOPELESS = 2  # an estimate above this many times the memory is an error: estimates are never wrong by so much
GIB = 1 << 30


class Need(NamedTuple):
    """The batch shape that needs most memory, and the memory that a batch of this shape needs on each device."""

    shape: BatchShape
    memory: MemoryEstimate


def largest_need(configuration: Configuration, data: Manifest, *, replicas: int, parts: int) -> Need:
    """Returns the shape and the memory of the batch that needs most memory, if batches are split into `parts` parts."""
    shapes = shapes_of(configuration.training, data.split("train"))
    needs = (Need(shape, estimate_memory(configuration, shape, replicas=replicas, parts=parts)) for shape in shapes)
    return max(needs, key=lambda need: need.memory.total)


def shapes_of(settings: TrainingConfig, split: Split) -> list[BatchShape]:
    """Returns a few shapes such that every batch of every epoch is at most as large as one of these shapes."""
    sizes = {"batch_tokens": settings.batch_tokens, "max_length": settings.max_length}
    if is_packed(settings):
        return [packed_shape(split, **sizes, sampling_alpha=settings.sampling_alpha)]
    shards = split.shards
    longest = [max(s.longest_source for s in shards), max(s.longest_target for s in shards)]
    if settings.sampling_alpha:  # drawn segmentations are longer than the stored ones
        longest = [settings.max_length] * 2
    # An upper bound: each shard counts as large as the largest shard. And a lane may take one pair more than its share
    # from each corpus.
    rows = len(shards) * max(s.examples for s in shards) * split.times_taken + LANES * (1 + len(split.corpora))
    return largest_shapes(longest[0], longest[1], math.ceil(rows), **sizes)


def with_accumulation(configuration: Configuration, data: Manifest, replicas: int) -> Configuration:
    """Replaces accumulation = 0 by the smallest power of two for which a part of a batch fits the memory.

    Prints the number of parts, and a warning if no number of parts is enough. If accumulation is not 0, only checks the
    memory.

    Raises:
        UserError: The configuration does not fit the memory; see `check_memory`.
    """
    settings = configuration.training
    if settings.accumulation:
        check_memory(configuration, data, replicas)
        return configuration
    usable = int(USABLE * memory_per_replica())
    parts = 1
    need = largest_need(configuration, data, replicas=replicas, parts=parts)
    while need.memory.total > usable and parts * replicas < need.shape.rows:
        parts *= 2
        need = largest_need(configuration, data, replicas=replicas, parts=parts)
    estimate = f"{need.memory.total / GIB:.1f} GiB estimated, {usable / GIB:.1f} GiB usable on each device"
    warning = "" if need.memory.total <= usable else "; it may not fit: lower batch_tokens or max_length"
    say(f"accumulation: each batch in {parts} part(s), {estimate}{warning}")
    configuration = replace(configuration, training=replace(settings, accumulation=parts))
    check_memory(configuration, data, replicas)
    return configuration


def check_memory(configuration: Configuration, data: Manifest, replicas: int) -> None:
    """Rejects a training that needs far too much memory.

    Without this check, the operating system would kill the training in the first steps without a message.

    Raises:
        UserError: The estimate is far above the free memory, or every batch has fewer rows than parts.
    """
    settings = configuration.training
    most_rows = max(shape.rows for shape in shapes_of(settings, data.split("train")))
    if settings.accumulation > most_rows:
        raise UserError(
            f"training.accumulation is {settings.accumulation}, but no batch has more than {most_rows} rows to divide; "
            f"use {most_rows} at most, or 0 for as few parts as the memory allows"
        )
    shape, need = largest_need(configuration, data, replicas=replicas, parts=settings.accumulation)
    free = memory_per_replica()
    if need.total > HOPELESS * free:
        raise UserError(
            f"a step of {shape.rows:,} rows of {shape.source_length} and {shape.target_length} tokens needs about "
            f"{need.total / GIB:,.1f} GiB, and {free / GIB:,.1f} GiB are free; lower training.batch_tokens, set "
            "training.accumulation=0, or take a smaller model"
        )


@contextmanager
def reporting_exhausted_memory(accumulation: int) -> Iterator[None]:
    """Replaces TensorFlow's out-of-memory error by an error with a message of one line.

    Raises:
        UserError: The memory of a device is exhausted; the message says how to continue.
    """
    try:
        yield
    except tf.errors.ResourceExhaustedError as error:
        if not re.search("OOM|out of memory|alloc", str(error.message), re.IGNORECASE):
            raise  # a full disk raises this error, too
        raise UserError(
            f"a batch in {accumulation} part(s) did not fit the memory; start the same command again with "
            f"--set training.accumulation={2 * accumulation}, which does not change the result"
        ) from error
