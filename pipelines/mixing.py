"""How often an epoch takes each pair, where corpora of different weights are mixed.

A pair of a corpus of weight w is taken floor(w) times, and once more with probability w - floor(w). So of a corpus of
weight 0.5 an epoch shows half, and the next epoch another half; one of weight 2 is shown twice.
"""

import math
from typing import Self

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.manifest import PREPARE_AGAIN, Split
from pipelines.shards import Corpora

Rows = NDArray[np.int64]


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
            DataError: if the temperature is not above 0, or no corpus has a weight.
        """
        if not 0 < temperature < math.inf:
            raise DataError(f"corpus_temperature must be above 0, got {temperature}")
        pairs = np.array([corpus.pairs for corpus in split.corpora], np.float64)
        weights = np.array([corpus.weight for corpus in split.corpora], np.float64)
        if len(pairs) and not (taken := (pairs * weights).sum()):
            raise DataError(f"every corpus of the data has weight 0; give one a weight and {PREPARE_AGAIN}")
        if temperature != 1 and len(pairs):
            weights *= (np.maximum(pairs, 1) / pairs.sum()) ** (1 / temperature - 1)
            weights *= taken / (pairs * weights).sum()
        return None if (weights == 1).all() else cls(weights)

    def draw(self, corpora: Corpora, random: np.random.Generator) -> Rows:
        """Gives the rows that are taken of pairs of these corpora, in order, some several times."""
        rates = self.rates[corpora]
        times = np.floor(rates)
        times += random.random(len(rates), np.float32) < rates - times
        return np.repeat(np.arange(len(rates)), times.astype(np.int64))
