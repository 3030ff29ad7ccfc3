"""Mixes corpora with different weights: decides how often an epoch takes each pair.

A pair of a corpus with weight w is taken floor(w) times, and once more with probability w - floor(w). With weight 0.5,
an epoch contains a random half of the corpus, and the next epoch another random half. With weight 2, an epoch contains
the corpus twice.

The pairs to take are chosen by systematic sampling. The pairs of a corpus are sorted by length bucket, in random order
within each bucket, and numbered from 0 in this order. Pair i is taken floor(u + w * (i + 1)) - floor(u + w * i) times,
where u in [0, 1) is a random offset that is different for each window, lane and corpus. With u = 0.3 and w = 0.5, pairs
1, 3, 5, ... are taken once and the other pairs not at all. With u = 0.3 and w = 1.5, pairs 1, 3, 5, ... are taken twice
and the other pairs once. So it is random which pairs are taken, but each bucket gets its share, and a histogram of
lengths is enough to count batches.
"""

import math
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.buckets import Buckets, Rows
from keras_nmt.pipelines.shards.manifest import PREPARE_AGAIN
from keras_nmt.pipelines.shards.reading import Corpora
from keras_nmt.pipelines.shards.splits import Split

Offsets = NDArray[np.float64]
MAX_TIMES = 100  # limit of the mean number of times that an epoch takes a pair; all rows of a window are in memory


class Mixture:
    """For each corpus, the mean number of times that an epoch takes a pair of the corpus (the rate)."""

    def __init__(self, rates: NDArray[np.float64]) -> None:
        """Creates a mixture from the rate of each corpus, float64 [corpora]: how often an epoch takes a pair."""
        self.rates = rates

    @classmethod
    def of(cls, split: Split, temperature: float) -> Self | None:
        """Returns the mixture of a split at a temperature, or None if an epoch takes each pair exactly once.

        If a corpus has the share p of all pairs, the temperature T multiplies the weight of the corpus by p**(1/T - 1).
        Then all weights are rescaled so that the length of an epoch stays the same. With T above 1, small corpora are
        sampled more often: with two corpora of 10,000 and 1,000,000 pairs, equal weights and T = 2, the small corpus
        makes 9% of an epoch instead of 1%.

        Raises:
            DataError: The temperature is not above 0, or the weights make an epoch empty or far longer than the data.
        """
        if not 0 < temperature < math.inf:
            raise DataError(f"corpus_temperature must be above 0, got {temperature}")
        pairs = np.array([corpus.pairs for corpus in split.corpora], np.float64)
        weights = np.array([corpus.weight for corpus in split.corpora], np.float64)
        if len(pairs) and not (taken := (pairs * weights).sum()):
            raise DataError(f"every corpus of the data has weight 0; give one a weight and {PREPARE_AGAIN}")
        if len(pairs) and taken < 1:
            raise DataError(
                f"with the weights of the corpora, an epoch has {taken:.2g} of {int(pairs.sum()):,} pairs; give larger "
                f"weights and {PREPARE_AGAIN}"
            )
        if len(pairs) and taken > MAX_TIMES * pairs.sum():
            raise DataError(
                f"the weights of the corpora take a pair {taken / pairs.sum():,.0f} times an epoch on average, and "
                f"the maximum is {MAX_TIMES}; divide them all by the same number and {PREPARE_AGAIN}"
            )
        if temperature != 1 and len(pairs):
            powers = (1 / temperature - 1) * np.log(np.maximum(pairs, 1) / pairs.sum())
            weights *= np.exp(powers - powers[pairs * weights > 0].max())  # the largest factor is 1: no underflow
            weights *= taken / (pairs * weights).sum()
        return None if (weights == 1).all() else cls(weights)

    def offsets(self, random: np.random.Generator, lanes: int) -> Offsets:
        """Draws the offset u (see the module's docstring) for each lane and corpus, float64 [lanes, corpora].

        For each corpus, the offsets of the lanes are evenly spaced modulo 1. So the number of taken pairs is rounded up
        in some lanes and rounded down in others.
        """
        return (random.random(len(self.rates)) + np.arange(lanes)[:, None] / lanes) % 1

    def draw(self, rows: Rows, corpora: Corpora, buckets: Buckets, offsets: Offsets) -> Rows:
        """Returns the pairs that an epoch takes from a lane of a window. A pair that is taken n times occurs n times.

        Args:
            rows: The indices of the pairs of the lane, shuffled.
            corpora: The corpus of each pair.
            buckets: The length bucket of each pair.
            offsets: The offset u of each corpus in this lane, [corpora].
        """
        order = np.lexsort((buckets, corpora))
        counts = np.bincount(corpora, minlength=len(self.rates))
        corpus = corpora[order]
        before = np.arange(len(rows)) - (np.cumsum(counts) - counts)[corpus]
        times = self._taken(before + 1, corpus, offsets[corpus]) - self._taken(before, corpus, offsets[corpus])
        return np.repeat(rows[order], times)

    def count(self, histograms: Rows, offsets: Offsets) -> Rows:
        """Returns the numbers of pairs that `draw` returns for all lanes of a window, int64 [lanes, corpora, buckets].

        Args:
            histograms: int64 [lanes, corpora, buckets], the number of pairs in the window.
            offsets: The offset u of each lane and corpus, [lanes, corpora].
        """
        corpus = np.arange(len(self.rates))[:, None]
        return np.diff(self._taken(np.cumsum(histograms, axis=-1), corpus, offsets[..., None]), axis=-1, prepend=0)

    def _taken(self, first: Rows, corpus: NDArray[Any], offsets: Offsets) -> Rows:
        """Returns how many times the first `first` pairs of a corpus are taken, added up over these pairs."""
        return np.floor(offsets + self.rates[corpus] * first).astype(np.int64)
