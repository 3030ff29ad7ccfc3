"""Lanes: how shards are divided among machines that read the same batches.

Shard s belongs to lane s mod L, and row i of every batch holds a pair of lane i mod L, where L is the number of lanes.
L is 8 if the number of shards is a multiple of 8, which is the default of `nmt prepare`, and if 8 shards fit in a
window of the stream. Otherwise L is 4, 2 or 1. L does not depend on the number of machines, so the batches do not
depend on it either. With 8 lanes and 2, 4 or 8 machines, each machine reads only the shards of its own lanes. With 3
machines, each machine reads all lanes. With 16 machines, two machines read the same lane.

With 8 lanes, each lane fills an eighth of every batch. All lanes need pairs of similar lengths. Otherwise, the rows of
one lane would be padded to the lengths of the rows of another lane. Therefore `deal` sorts the pairs of a chunk by
length, and cuts them into runs of S pairs, where S is the number of shards. Each shard gets one pair of each run. The
order of the shards within a run is random. A run has the same order in every chunk, but the order is rotated from chunk
to chunk. A worked example, with 4 shards and two chunks of 8 pairs that are already sorted:

    chunk 0   lengths 9 8 7 6 | 5 4 3 2   to shards 2 0 3 1 | 1 3 0 2
    chunk 1   lengths 9 9 8 7 | 6 5 4 3   to shards 3 1 2 0 | 0 2 1 3

So a shard that gets the longest pair of a run in one chunk gets a shorter pair of this run in the next chunk.
"""

from math import gcd
from typing import NamedTuple

import numpy as np

from keras_nmt.pipelines.shards.buckets import Lengths, Rows, bucket_lengths, bucket_of_each, from_wide_to_narrow

LANES = 8  # the number of rows of every batch is a multiple of it
# Rotation per chunk, as a fraction of the number of shards. The golden ratio spreads any number of rotations evenly.
_TURN = (5**0.5 - 1) / 2


class Host(NamedTuple):
    """One of the machines that read the same batches. Each machine reads different rows of a batch.

    Attributes:
        number: The number of the machine, counted from 0.
        of: The number of machines.
    """

    number: int = 0
    of: int = 1

    @property
    def rows(self) -> slice:
        """The rows of a batch that this machine reads."""
        return slice(self.number, None, self.of)

    def reads(self, lane: int, lanes: int) -> bool:
        """Returns True if this machine needs the shards of a lane; `lanes` is the number of lanes."""
        return (lane - self.number) % gcd(self.of, lanes) == 0


ONLY_HOST = Host()


def lane_count(shards: int, most: int) -> int:
    """Returns the number of lanes: the largest of 8, 4, 2, 1 that divides the number of shards and is <= `most`."""
    return max(lanes for lanes in (1, 2, 4, LANES) if lanes == 1 or (shards % lanes == 0 and lanes <= most))


def deal(lengths: Lengths, shards: int, *, longest: int, seed: int, chunk: int) -> Rows:
    """Returns the shard of each pair of a chunk, int64 [N].

    Args:
        lengths: int32 [N, 2], the source and target length of each pair, at most `longest`.
        shards: The number of shards.
        longest: The maximum length in all chunks.
        seed: The seed for the order of the shards in each run of pairs (see the module's docstring).
        chunk: The number of the chunk, which determines the rotation of the order.
    """
    buckets = bucket_lengths(longest)
    order = from_wide_to_narrow(bucket_of_each(buckets)[lengths], len(buckets))
    runs = np.tile(np.arange(shards), (-(-len(lengths) // shards), 1))
    runs = np.random.Generator(np.random.PCG64(seed)).permuted(runs, axis=1)
    turned = np.roll(runs, int(shards * (chunk * _TURN % 1)), axis=1)
    shard_of = np.empty(len(lengths), np.int64)
    shard_of[order] = turned.ravel()[: len(lengths)]
    return shard_of
