"""Cuts pairs into batches of a token budget and a few fixed shapes, from their lengths alone.

A plan says which rows go into a batch and to which lengths its sides are padded. No token is needed for it, so a
position in an epoch is found without reading the data. The shape of a batch is one of a small set whatever the data:
lengths come from `bucket_lengths`, and the number of rows follows from the longer of the two.

A worked example: buckets 4, 5, 6, 7, 8 and a budget of 64 tokens a side, so 64 // 8 = 8 rows of width 8, and 8 or, of
width 4, 16 rows (multiples of 8 only). Of 12 pairs with (source, target) lengths

    row      0      1      2      3      4      5      6      7      8      9      10     11
    lengths (8,8)  (7,8)  (3,4)  (4,4)  (5,6)  (6,6)  (5,5)  (2,3)  (3,3)  (4,2)  (4,4)  (3,3)

the first batch begins with the widest, rows 1 and 0. They do not fill its 8 rows, and rather than stay small it takes
the next narrower ones: 4 and 5 of width 6, 6 of width 5, then 2, 3, 7 of width 4. The second has the 4 rows that are
left, 8 to 11, of width 4; it is filled up to 16 with empty rows, for the shape's sake.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.shards import Lengths, Tokens
from pipelines.vocabulary import BOS, PAD

ROWS_MULTIPLE = 8  # so that a batch divides among 2, 4 or 8 replicas or accumulation steps
# Of batches of 25,000 tokens cut from 500,000 pairs of mixed text, 3.6% is padding; 1.1 makes it 4.8%, with two thirds
# as many shapes to compile.
LENGTH_GROWTH = 1.06
EMPTY_ROW = -1
_SHORTEST, _FINE_STEP, _COARSE_STEP, _COARSE_FROM = 4, 1, 8, 64

Rows = NDArray[np.int64]
Ids = NDArray[np.int32]
NumpyBatch = tuple[dict[str, Ids], Ids]


class BatchShape(NamedTuple):
    """B, S and T of a batch."""

    rows: int
    source_length: int
    target_length: int


class BatchPlan(NamedTuple):
    """Which pairs make a batch, and its shapes; `rows` holds -1 for the empty rows that fill the last batch."""

    rows: Rows  # [B]
    source_length: int
    target_length: int

    @property
    def shape(self) -> BatchShape:
        """The batch's."""
        return BatchShape(len(self.rows), self.source_length, self.target_length)


def bucket_lengths(longest: int, growth: float = LENGTH_GROWTH) -> list[int]:
    """Gives the lengths that batches are padded to, the last being `longest`.

    Each is about `growth` times the one before, from 64 on a multiple of 8, such as 4, 5, 6, ..., 17, 19, 21, ..., 58,
    62, 66, 72, 80, 88.
    """
    lengths = [_SHORTEST]
    while lengths[-1] < longest:
        step = _FINE_STEP if lengths[-1] < _COARSE_FROM else _COARSE_STEP
        lengths.append(max(lengths[-1] + _FINE_STEP, int(np.ceil(lengths[-1] * growth / step)) * step))
    return [*(length for length in lengths if length < longest), longest]


def rows_within(batch_tokens: int, lengths: list[int]) -> list[int]:
    """Gives for each length the number of rows of a batch: as many as the budget allows, a multiple of 8.

    Raises:
        DataError: if the budget does not hold 8 rows of the longest.
    """
    if batch_tokens < ROWS_MULTIPLE * lengths[-1]:
        raise DataError(
            f"a batch of {batch_tokens} tokens does not hold {ROWS_MULTIPLE} sentences of {lengths[-1]} tokens; "
            f"use at least {ROWS_MULTIPLE * lengths[-1]} batch tokens or a smaller maximum length"
        )
    return [batch_tokens // length // ROWS_MULTIPLE * ROWS_MULTIPLE for length in lengths]


def largest_shapes(longest_source: int, longest_target: int, *, batch_tokens: int, max_length: int) -> list[BatchShape]:
    """Gives shapes of which each batch of pairs no longer than these is within one: what memory must be there for.

    Raises:
        DataError: if the budget does not hold 8 rows of `max_length`.
    """
    buckets = bucket_lengths(max_length)
    capacities = rows_within(batch_tokens, buckets)
    source, target = np.searchsorted(buckets, np.minimum([longest_source, longest_target], max_length))
    widths = range(max(source, target) + 1)
    return [BatchShape(capacities[w], buckets[min(w, source)], buckets[min(w, target)]) for w in widths]


def plan_batches(lengths: Lengths, order: Rows, *, batch_tokens: int, max_length: int) -> list[BatchPlan]:
    """Gives batches that hold each row of `order` once, except those longer than `max_length`, widest first.

    Args:
        lengths: int32 [N, 2], source and target of each row, EOS counted.
        order: the rows to use; within a batch's bucket they keep this order, so shuffle it to shuffle.
        batch_tokens: no side of a batch has more tokens than this, padding counted.
        max_length: pairs with a longer side are skipped.

    Raises:
        DataError: if the budget does not hold 8 rows of `max_length`.
    """
    buckets = bucket_lengths(max_length)
    capacities = rows_within(batch_tokens, buckets)
    order = order[longer_sides(lengths)[order] <= max_length]
    bucket = _bucket_of_each(buckets)[lengths[order]]  # [N, 2]
    path = np.argsort(_places(len(buckets))[bucket[:, 0], bucket[:, 1]], kind="stable")
    order, bucket = order[path], bucket[path]
    plans, start = [], 0
    while start < len(order):
        capacity = capacities[bucket[start].max()]  # widest first: no later row is wider
        end = min(start + capacity, len(order))
        source, target = bucket[start:end].max(axis=0)
        rows = np.pad(order[start:end], (0, capacity - (end - start)), constant_values=EMPTY_ROW)
        plans.append(BatchPlan(rows, buckets[source], buckets[target]))
        start = end
    return plans


def count_batches(histograms: Rows, widths: NDArray[np.int32], *, batch_tokens: int, max_length: int) -> Rows:
    """Gives how many batches `plan_batches` would make of each of some sets of rows.

    It needs no more than how many rows have which longer side: where a batch ends follows from how many rows are as
    wide, not from which they are.

    Args:
        histograms: int64 [W, max_length + 1]; how many rows of each set have a longer side of 0, 1, 2, ... tokens.
        widths: int32 [max_length + 1]; the length that is planned with for a longer side of 0, 1, 2, ... tokens.
        batch_tokens: as of `plan_batches`.
        max_length: as of `plan_batches`.
    """
    buckets = bucket_lengths(max_length)
    bucket = _bucket_of_each(buckets)[widths]
    batches, ahead = np.zeros(len(histograms), np.int64), np.zeros(len(histograms), np.int64)
    for number, capacity in reversed(list(enumerate(rows_within(batch_tokens, buckets)))):
        left = histograms[:, bucket == number].sum(axis=1) - ahead  # of the wider rows' last batch takes some
        begun = -(-np.maximum(left, 0) // capacity)
        batches += begun
        ahead = begun * capacity - left
    return batches


def longer_sides(lengths: Lengths) -> NDArray[np.int32]:
    """Gives the length of the longer side of each row."""
    return np.maximum(lengths[:, 0], lengths[:, 1])  # much faster than max(axis=1)


def _bucket_of_each(buckets: list[int]) -> NDArray[np.uint8]:
    """Gives the number of the bucket of each length from 0 on."""
    return np.searchsorted(buckets, np.arange(buckets[-1] + 1)).astype(np.uint8)


def _places(buckets: int) -> NDArray[np.uint16]:
    """Gives each (source, target) cell its place on a path from wide to narrow, whose neighbours have like lengths.

    The width of a row is the wider of its buckets. The (source, target) cells of one width make an L; going along it
    forwards and backwards in turn, each width begins beside the cell where the one before ended:

        width 2: (0,2) (1,2) (2,2) (2,1) (2,0)   width 1: (1,0) (1,1) (0,1)   width 0: (0,0)
    """
    source, target = np.indices((buckets, buckets))
    width = np.maximum(source, target)
    along = np.where(target == width, source, 2 * width - target)
    along = np.where(width % 2 == 0, along, 2 * width - along)
    places = np.empty((buckets, buckets), np.uint16)  # which are sorted by counting, in no time
    places.flat[np.lexsort((along.ravel(), -width.ravel()))] = np.arange(buckets**2)
    return places


def fill_batch(tokens: Tokens, plan: BatchPlan) -> NumpyBatch:
    """Gives the batch of a plan: `({"source": [B, S], "target": [B, T]}, labels [B, T])`, padded with PAD."""
    return with_decoder_input(
        padded(tokens, 0, plan.rows, plan.source_length), padded(tokens, 1, plan.rows, plan.target_length)
    )


def with_decoder_input(source: Ids, labels: Ids) -> NumpyBatch:
    """Gives the batch of a source [B, S] and labels [B, T]: the target that is read follows from the labels."""
    return {"source": source, "target": shift_right(labels)}, labels


def shift_right(labels: Ids) -> Ids:
    """Gives what the decoder has read when it should say each label: BOS, then the labels before.

    With BOS = 2, EOS = 3 and PAD = 0, `[[7, 8, 3, 0]]` becomes `[[2, 7, 8, 0]]`: PAD stays PAD, and EOS is never read.
    """
    shifted = np.full_like(labels, BOS)
    shifted[:, 1:] = labels[:, :-1]
    return np.where(labels == PAD, np.int32(PAD), shifted)


def padded(tokens: Tokens, side: int, rows: Rows, width: int) -> Ids:
    """Takes one side of the rows (0 source, 1 target) out of the flat values, as [B, width], padded with PAD."""
    columns = np.arange(width)
    present = columns < np.where(rows == EMPTY_ROW, 0, tokens.lengths[rows, side])[:, None]
    places = tokens.starts[rows, side, None] + columns
    return np.where(present, tokens.values[side].take(places, mode="clip"), np.int32(PAD))
