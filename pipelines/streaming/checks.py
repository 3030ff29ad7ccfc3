"""Checks, before a stream starts, that the data contains pairs that the model can learn from."""

import numpy as np

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.buckets import longer_sides
from keras_nmt.pipelines.shards.manifest import PREPARE_AGAIN, Manifest
from keras_nmt.pipelines.shards.reading import read_corpora, read_lengths, read_weights
from keras_nmt.pipelines.shards.splits import LEAST_WEIGHT, NO_USABLE_WEIGHT
from keras_nmt.pipelines.streaming.mixing import Mixture


def check_some_are_short_enough(manifest: Manifest, name: str, max_length: int) -> None:
    """Raises a `DataError` if every pair of a split is longer than `max_length`."""
    split = manifest.split(name)
    if split.longer_than(max_length) == split.examples:
        raise DataError(
            f"every pair of split {name!r} in {manifest.data_dir} has more than {max_length} tokens on a side; "
            "use a larger maximum length"
        )


def check_usable_weights(manifest: Manifest, mixture: Mixture | None, max_length: int) -> None:
    """Raises a `DataError` if an epoch contains no pair of at most `max_length` tokens with a usable loss weight.

    A loss weight is usable if it is at least `LEAST_WEIGHT`. Without a mixture and without loss weights, every pair is
    usable and nothing is read. Otherwise, usually only the lengths, corpora and weights of the first shard are read.
    """
    split, data_dir = manifest.split("train"), manifest.data_dir
    if not (mixture or split.has_loss_weights):
        return
    taken = counting = 0.0  # expected number of pairs in an epoch, and of pairs with a usable loss weight among them
    for shard in split.shards:
        fits = longer_sides(read_lengths(data_dir, [shard])) <= max_length
        rates = mixture.rates[read_corpora(data_dir, [shard])][fits] if mixture else np.ones(fits.sum())
        taken += rates.sum()
        if split.has_loss_weights:
            rates = rates[read_weights(data_dir, [shard])[fits] >= LEAST_WEIGHT]
        counting += rates.sum()
        if counting >= 1:
            return
    if taken >= 1:
        raise DataError(f"{data_dir}: {NO_USABLE_WEIGHT}, and {PREPARE_AGAIN}")
    raise DataError(
        f"{data_dir}: with the weights of the corpora, an epoch has {taken:.2g} pairs of at most {max_length} tokens; "
        f"give larger weights and {PREPARE_AGAIN}, or raise max_length"
    )
