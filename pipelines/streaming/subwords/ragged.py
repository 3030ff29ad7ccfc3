"""Rows of different lengths in one flat array, with the operations that drawing segmentations needs."""

from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.integer[Any]]


class Ragged(NamedTuple):
    """N rows of different lengths.

    Attributes:
        values: The values of all rows.
        starts: [N], the index in `values` where each row begins.
        counts: [N], the length of each row.
    """

    values: Integers
    starts: Integers
    counts: Integers

    @classmethod
    def of(cls, rows: list[list[int]]) -> Self:
        """Converts a list of rows."""
        counts = np.array([len(row) for row in rows])
        return cls(np.array([value for row in rows for value in row]), np.cumsum(counts) - counts, counts)

    def take(self, rows: Integers) -> "Ragged":
        """Returns the rows with the given indices, in this order, stored contiguously."""
        counts = self.counts[rows]
        return Ragged(self.values[ranges(self.starts[rows], counts)], np.cumsum(counts) - counts, counts)

    def joined(self, groups: "Ragged") -> "Ragged":
        """Concatenates consecutive rows: row k of the result consists of the next `groups.counts[k]` rows.

        The sum of `groups.counts` must be the number of rows. The values of `groups` are not used.
        """
        ends = np.append(0, np.cumsum(self.counts))
        starts = ends[groups.starts]
        return Ragged(self.values, starts, ends[groups.starts + groups.counts] - starts)

    def distinct(self) -> tuple["Ragged", Integers]:
        """Returns the distinct rows, and for each row the index of the distinct row that equals it."""
        numbers = np.zeros(len(self.counts), np.int64)
        base = int(self.values.max(initial=0)) + 1
        for column in range(int(self.counts.max(initial=0))):  # numbers the distinct prefixes of length 1, 2, ...
            longer = np.flatnonzero(self.counts > column)
            codes = numbers[longer] * base + self.values[self.starts[longer] + column]
            numbers[longer] = np.unique(codes, return_inverse=True)[1]
        codes = self.counts * (len(numbers) + 1) + numbers  # distinguishes a row from an equal prefix of a longer row
        _, examples, numbers = np.unique(codes, return_index=True, return_inverse=True)
        return Ragged(self.values, self.starts[examples], self.counts[examples]), numbers


def ranges(starts: Integers, counts: Integers) -> Integers:
    """Returns the concatenation of N ranges: start, start + 1, ..., start + count - 1 for each start and count."""
    return np.repeat(starts - (np.cumsum(counts) - counts), counts) + np.arange(counts.sum())


def positions(counts: Integers) -> Integers:
    """Returns the concatenation of the ranges 0, 1, ..., count - 1, one for each count."""
    return ranges(np.zeros_like(counts), counts)
