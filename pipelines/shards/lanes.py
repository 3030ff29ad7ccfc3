"""Lanes: how shards are divided among machines that read the same batches.

Shard s belongs to lane s mod L, and row i of every batch holds a pair of lane i mod L. L is 8 if the number of shards
is a multiple of 8, which `nmt prepare` provides, and 8 shards fit in a window of the stream. So a batch is the same for
any number of machines, and with 2, 4 or 8 machines, each reads only the shards of its own lanes. With 3 machines, each
reads all lanes; with 16, two machines read the same lane.

Each lane fills an eighth of every batch, so all lanes need similar lengths, or rows would be padded to the lengths of
other lanes. Therefore `deal` sorts the pairs of a chunk by length and deals each run of S pairs to the S shards, one
pair each. Each run has a random order of shards, which is rotated from chunk to chunk. A worked example, with 4 shards
and two chunks of 8 pairs that are already sorted:

    chunk 0   lengths 9 8 7 6 | 5 4 3 2   to shards 2 0 3 1 | 1 3 0 2
    chunk 1   lengths 9 9 8 7 | 6 5 4 3   to shards 3 1 2 0 | 0 2 1 3

So the shard that gets the longest of four pairs from one chunk does not get it from the next.
"""

from math import gcd
from typing import NamedTuple

import numpy as np

from keras_nmt.pipelines.shards.buckets import Lengths, Rows, bucket_lengths, bucket_of_each, from_wide_to_narrow

LANES = 8  # divides the number of rows of every batch
_TURN = (5**0.5 - 1) / 2  # rotation per chunk, of a full turn; the golden ratio spreads any number of chunks evenly


class Host(NamedTuple):
    """One of the machines that read together."""

    number: int = 0
    of: int = 1

    @property
    def rows(self) -> slice:
        """The rows of a batch that this machine reads."""
        return slice(self.number, None, self.of)

    def reads(self, lane: int, lanes: int) -> bool:
        """Returns True if this machine needs the shards of a lane."""
        return (lane - self.number) % gcd(self.of, lanes) == 0


ONLY_HOST = Host()


def lane_count(shards: int, most: int) -> int:
    """Returns the number of lanes for a number of shards: the largest of 8, 4, 2, 1 that divides it, at most `most`."""
    return max(lanes for lanes in (1, 2, 4, LANES) if lanes == 1 or (shards % lanes == 0 and lanes <= most))


def deal(lengths: Lengths, shards: int, *, longest: int, seed: int, chunk: int) -> Rows:
    """Returns the shard of each pair of a chunk, int64 [N].

    Args:
        lengths: int32 [N, 2], the lengths of the pairs, at most `longest`.
        shards: The number of shards.
        longest: The maximum length in all chunks.
        seed: Seed for the order of shards in each run.
        chunk: The number of the chunk, which determines the rotation.
    """
    buckets = bucket_lengths(longest)
    order = from_wide_to_narrow(bucket_of_each(buckets)[lengths], len(buckets))
    runs = np.tile(np.arange(shards), (-(-len(lengths) // shards), 1))
    runs = np.random.Generator(np.random.PCG64(seed)).permuted(runs, axis=1)
    turned = np.roll(runs, int(shards * (chunk * _TURN % 1)), axis=1)
    shard_of = np.empty(len(lengths), np.int64)
    shard_of[order] = turned.ravel()[: len(lengths)]
    return shard_of
