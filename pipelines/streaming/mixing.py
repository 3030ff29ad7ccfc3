"""How often an epoch takes each pair, where corpora of different weights are mixed.

A pair of a corpus of weight w is taken floor(w) times, and once more with probability w - floor(w). So of a corpus of
weight 0.5 an epoch shows half, and the next epoch another half; one of weight 2 is shown twice.

Which pairs are taken is drawn, how many is not: along the pairs of a corpus in the order of their lengths, those of the
same bucket shuffled, pair i is taken floor(u + w * (i + 1)) - floor(u + w * i) times, where u is a number from [0, 1)
that is drawn for a window of an epoch. With u = 0.3 and w = 0.5, pairs 1, 3, 5, ... are taken, with w = 1.5 all and
those once more. So each length has its share, and batches are counted from how many pairs there are of each.
"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.shards.buckets import Buckets, Rows
from pipelines.shards.manifest import PREPARE_AGAIN, Split
from pipelines.shards.reading import Corpora

Offsets = NDArray[np.float64]
MOST_TIMES = 100  # that an epoch takes a pair on average; the rows of a window are in memory


class Mixture:
    """How many times an epoch takes a pair of each corpus, on average."""

    def __init__(self, rates: NDArray[np.float64]) -> None:
        """Takes a rate for each corpus, in the order of their numbers."""
        self.rates = rates

    @classmethod
    def of(cls, split: Split, temperature: float) -> Self | None:
        """Gives the mixture of a split at a temperature; None where each pair is taken once.

        A temperature T multiplies the weight of a corpus that has the share p of all pairs by p**(1/T - 1), and all
        weights by what leaves the epoch as long as it was. With T above 1, small corpora are shown more often: with
        equal weights and a T of 2, a corpus of 10,000 pairs beside one of 1,000,000 makes 9% of an epoch instead of 1%.

        Raises:
            DataError: if the temperature is not above 0, or the weights leave an epoch without a pair or with far more
                than there are.
        """
        if not 0 < temperature < math.inf:
            raise DataError(f"corpus_temperature must be above 0, got {temperature}")
        pairs = np.array([corpus.pairs for corpus in split.corpora], np.float64)
        weights = np.array([corpus.weight for corpus in split.corpora], np.float64)
        if len(pairs) and not (taken := (pairs * weights).sum()):
            raise DataError(f"every corpus of the data has weight 0; give one a weight and {PREPARE_AGAIN}")
        if len(pairs) and taken < 1:
            raise DataError(
                f"the weights of the corpora leave an epoch {taken:.2g} of {int(pairs.sum()):,} pairs; give larger "
                f"ones and {PREPARE_AGAIN}"
            )
        if len(pairs) and taken > MOST_TIMES * pairs.sum():
            raise DataError(
                f"the weights of the corpora take a pair {taken / pairs.sum():,.0f} times an epoch on average, and "
                f"{MOST_TIMES} are the most; divide them all by the same number and {PREPARE_AGAIN}"
            )
        if temperature != 1 and len(pairs):
            powers = (1 / temperature - 1) * np.log(np.maximum(pairs, 1) / pairs.sum())
            weights *= np.exp(powers - powers[pairs * weights > 0].max())  # of a low temperature all would be 0
            weights *= taken / (pairs * weights).sum()
        return None if (weights == 1).all() else cls(weights)

    def offsets(self, random: np.random.Generator, lanes: int) -> Offsets:
        """Draws where each corpus begins to be taken, u of the worked example, [lanes, corpora].

        Those of the lanes lie evenly around a circle, so that they do not all round up or down.
        """
        return (random.random(len(self.rates)) + np.arange(lanes)[:, None] / lanes) % 1

    def draw(self, rows: Rows, corpora: Corpora, buckets: Buckets, offsets: Offsets) -> Rows:
        """Gives those of some rows of a lane that are taken, some several times.

        Args:
            rows: shuffled.
            corpora: the corpus of each.
            buckets: the number of the length of each.
            offsets: what `offsets` gave for the lane.
        """
        order = np.lexsort((buckets, corpora))
        counts = np.bincount(corpora, minlength=len(self.rates))
        corpus = corpora[order]
        before = np.arange(len(rows)) - (np.cumsum(counts) - counts)[corpus]
        times = self._taken(before + 1, corpus, offsets[corpus]) - self._taken(before, corpus, offsets[corpus])
        return np.repeat(rows[order], times)

    def count(self, histograms: Rows, offsets: Offsets) -> Rows:
        """Gives how many rows `draw` takes where there are so many, [lanes, corpora, buckets]."""
        corpus = np.arange(len(self.rates))[:, None]
        return np.diff(self._taken(np.cumsum(histograms, axis=-1), corpus, offsets[..., None]), axis=-1, prepend=0)

    def _taken(self, first: Rows, corpus: NDArray[Any], offsets: Offsets) -> Rows:
        """Gives how many are taken of so many first ones of a corpus."""
        return np.floor(offsets + self.rates[corpus] * first).astype(np.int64)
