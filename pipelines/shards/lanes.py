"""Lanes: how shards are divided among machines that read the same batches.

Shard s is of lane s mod L, and row i of every batch is a pair of lane i mod L. L is 8 if the shards are a multiple of
8, as `nmt prepare` makes them, and 8 of them are no more than a window of the stream. So a batch is the same however
many machines there are, and of 2, 4 or 8 machines each reads the shards of its own lanes alone. With 3 machines each
needs all lanes; with 16, two read the same.

As each lane gives an eighth of every batch, all must be of like lengths, or rows would be padded to those of other
lanes. So of each chunk of pairs, in the order of their lengths, `deal` gives each run of S pairs one to each of the S
shards. A worked example, with 4 shards and two chunks of 8 pairs, whose lengths are in order already; each run of 4 has
an order of its own, which is turned from chunk to chunk:

    chunk 0   lengths 9 8 7 6 | 5 4 3 2   to shards 2 0 3 1 | 1 3 0 2
    chunk 1   lengths 9 9 8 7 | 6 5 4 3   to shards 3 1 2 0 | 0 2 1 3

so the shard that gets the longest of four from one chunk gets another one from the next.
"""

from math import gcd
from typing import NamedTuple

import numpy as np

from pipelines.shards.buckets import Lengths, Rows, bucket_lengths, bucket_of_each, from_wide_to_narrow

LANES = 8  # which divides the rows of every batch
_TURN = (5**0.5 - 1) / 2  # of a round: whatever the number of chunks, their turns are spread evenly


class Host(NamedTuple):
    """One of the machines that read together."""

    number: int = 0
    of: int = 1

    @property
    def rows(self) -> slice:
        """Which rows of a batch are its own."""
        return slice(self.number, None, self.of)

    def reads(self, lane: int, lanes: int) -> bool:
        """Tells whether it needs the shards of a lane."""
        return (lane - self.number) % gcd(self.of, lanes) == 0


ONLY_HOST = Host()


def lanes_of(shards: int, most: int) -> int:
    """Gives the number of lanes that so many shards make: 8, 4, 2 or 1, and at most `most`."""
    return max(lanes for lanes in (1, 2, 4, LANES) if lanes == 1 or (shards % lanes == 0 and lanes <= most))


def deal(lengths: Lengths, shards: int, *, longest: int, seed: int, chunk: int) -> Rows:
    """Gives the shard of each pair of a chunk.

    In the order of their lengths, each run of as many pairs as there are shards has one for each shard.

    Args:
        lengths: int32 [N, 2], of the pairs, none above `longest`.
        shards: How many there are.
        longest: The length that all chunks have as their limit.
        seed: Of the orders within the runs.
        chunk: The number of the chunk, which says how far they are turned.
    """
    buckets = bucket_lengths(longest)
    order = from_wide_to_narrow(bucket_of_each(buckets)[lengths], len(buckets))
    runs = np.tile(np.arange(shards), (-(-len(lengths) // shards), 1))
    runs = np.random.Generator(np.random.PCG64(seed)).permuted(runs, axis=1)
    turned = np.roll(runs, int(shards * (chunk * _TURN % 1)), axis=1)
    shard_of = np.empty(len(lengths), np.int64)
    shard_of[order] = turned.ravel()[: len(lengths)]
    return shard_of
