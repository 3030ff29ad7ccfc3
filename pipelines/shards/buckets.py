"""The lengths to which batches are padded (buckets), and an order of pairs in which neighbours have similar lengths."""

import numpy as np
from numpy.typing import NDArray

# Measured with batches of 25,000 tokens from 560,000 pairs of mixed text: 3.7% is padding. A growth of 1.08 would give
# 4.5% padding, and three quarters as many shapes to compile.
_GROWTH = 1.06
LONGEST = 1_000_000  # maximum length of a sentence, so that the index of a bucket fits in a byte
_SHORTEST, _FINE_STEP, _COARSE_STEP, _COARSE_FROM = 4, 1, 8, 64

Lengths = NDArray[np.int32]  # [N, 2]: source and target length of each pair, EOS included
Rows = NDArray[np.int64]
Buckets = NDArray[np.uint8]  # indices into `bucket_lengths`


def bucket_lengths(longest: int) -> list[int]:
    """Returns the lengths to which batches are padded, ascending. The last one is `longest`.

    Each length is about 1.06 times the previous one. Lengths above 65 are multiples of 8, except for `longest`: 4, 5,
    6, ..., 17, 19, 21, ..., 57, 61, 65, 72, 80, 88.
    """
    lengths = [_SHORTEST]
    while lengths[-1] < longest:
        step = _FINE_STEP if lengths[-1] < _COARSE_FROM else _COARSE_STEP
        lengths.append(max(lengths[-1] + _FINE_STEP, int(np.ceil(lengths[-1] * _GROWTH / step)) * step))
    return [*(length for length in lengths if length < longest), longest]


def bucket_of_each(buckets: list[int]) -> Buckets:
    """Returns, for each of the lengths 0, 1, 2, ..., up to the length of the last bucket, the index of its bucket."""
    return np.searchsorted(buckets, np.arange(buckets[-1] + 1)).astype(np.uint8)


def from_wide_to_narrow(bucket: Buckets, buckets: int) -> Rows:
    """Returns an order of rows from wide to narrow, in which neighbours have similar lengths.

    The order follows the path that `_places` describes. Rows whose source buckets and target buckets are equal keep
    their order.

    Args:
        bucket: [N, 2], the bucket of the source and the bucket of the target of each row.
        buckets: The number of buckets.
    """
    return np.argsort(_places(buckets)[bucket[:, 0], bucket[:, 1]], kind="stable")


def longer_sides(lengths: Lengths) -> NDArray[np.int32]:
    """Returns the length of the longer side of each row."""
    return np.maximum(lengths[:, 0], lengths[:, 1])  # much faster than max(axis=1)


def _places(buckets: int) -> NDArray[np.uint16]:
    """Returns the place of each cell (source bucket, target bucket) on a path that leads from wide to narrow cells.

    The width of a cell is the larger of its two buckets. The cells of one width form an L. The path runs along one L
    forwards and along the next one backwards, so each L begins beside the cell where the previous L ended:

        width 2: (0,2) (1,2) (2,2) (2,1) (2,0)   width 1: (1,0) (1,1) (0,1)   width 0: (0,0)
    """
    source, target = np.indices((buckets, buckets))
    width = np.maximum(source, target)
    along = np.where(target == width, source, 2 * width - target)
    along = np.where(width % 2 == 0, along, 2 * width - along)
    places = np.empty((buckets, buckets), np.uint16)  # NumPy sorts 16-bit numbers by radix sort
    places.flat[np.lexsort((along.ravel(), -width.ravel()))] = np.arange(buckets**2)
    return places
