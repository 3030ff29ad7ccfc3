"""Reads the tokens of a window and fills the batches of the window. A machine reads only the shards of its lanes."""

from collections.abc import Callable
from itertools import compress
from typing import NamedTuple

import numpy as np

from keras_nmt.pipelines.shards.reading import LossWeights, read_tokens, read_weights
from keras_nmt.pipelines.streaming.batching import EMPTY_ROW, BatchPlan, Ids, NumpyBatch, fill_batch
from keras_nmt.pipelines.streaming.packed_batches import pack_rows
from keras_nmt.pipelines.streaming.packing import PackedPlan
from keras_nmt.pipelines.streaming.subwords.sampler import row_keys
from keras_nmt.pipelines.streaming.windows import TrainingData, Window

WeightedBatch = tuple[dict[str, Ids], Ids, LossWeights]


class NumberedPlan(NamedTuple):
    """A planned batch, and its number within its window."""

    number: int
    plan: BatchPlan | PackedPlan


Fill = Callable[[NumberedPlan], NumpyBatch | WeightedBatch]


def read_window(data: TrainingData, window: Window) -> Fill:
    """Reads those shards of a window that this machine (`data.host`) needs.

    Returns:
        A function that takes a planned batch of the window, and returns the rows of the batch that this machine reads.
    """
    shards, data_dir, host = data.shards_of(window), data.manifest.data_dir, data.host
    is_own = [host.reads(i % data.lanes, data.lanes) for i in range(len(shards))]
    own_shards = list(compress(shards, is_own))
    tokens = read_tokens(data_dir, own_shards, vocabulary_size=data.manifest.vocabulary_size)
    segmentations = data.sampler.segmentations(tokens) if data.sampler else None
    weights = read_weights(data_dir, own_shards) if data.split.has_loss_weights else None
    is_read = np.repeat(is_own, [shard.examples for shard in shards])
    places = np.where(is_read, np.cumsum(is_read) - 1, EMPTY_ROW)  # rows of the window -> rows of `tokens`

    def fill(batch: NumberedPlan) -> NumpyBatch | WeightedBatch:
        plan = batch.plan.part(host, places)
        if segmentations:
            # Keys are drawn for the rows of all machines, so that the keys do not depend on the number of machines.
            random = data.random(window.epoch, 1 + window.number, 1 + batch.number)
            keys = row_keys(len(batch.plan.one_per_row.rows), random)[..., batch.plan.read_by(host)]
            filled = segmentations.draw_batch(plan.one_per_row, keys, plan.room)
        else:
            filled = fill_batch(tokens, plan.one_per_row)
        row_weights = None if weights is None else weights_of(plan.one_per_row, weights)
        if isinstance(plan, PackedPlan):
            return pack_rows(plan, filled, row_weights)
        return filled if row_weights is None else (*filled, row_weights)

    return fill


def weights_of(plan: BatchPlan, weights: LossWeights) -> LossWeights:
    """Returns the loss weights of the rows of a batch, given the weights of all pairs; 0 for empty rows."""
    return np.where(plan.rows == EMPTY_ROW, np.float32(0), weights[plan.rows])
