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
left, 8 to 11, of width 4; it is filled up to 16 with empty rows, for the shape's sake. But no batch has many more rows
than there are in all, however large the budget.

Of data in lanes (`pipelines.shards.lanes`) each batch takes its rows in turn from all of them, from each the widest;
where one
has run out before the others, its rows are empty.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipelines.errors import DataError
from pipelines.shards.buckets import (
    Buckets,
    Lengths,
    Rows,
    bucket_lengths,
    bucket_of_each,
    from_wide_to_narrow,
    longer_sides,
)
from pipelines.shards.lanes import Host
from pipelines.shards.reading import Tokens
from pipelines.vocabulary.tokenizer import BOS, PAD

ROWS_MULTIPLE = 8  # so that a batch divides among 2, 4 or 8 replicas or accumulation steps
EMPTY_ROW = -1

Ids = NDArray[np.int32]
NumpyBatch = tuple[dict[str, Ids], Ids]


class BatchShape(NamedTuple):
    """B, S and T of a batch."""

    rows: int
    source_length: int
    target_length: int


class BatchPlan(NamedTuple):
    """Which pairs make a batch, and its shapes; `rows` holds -1 for empty rows, which fill the last batches."""

    rows: Rows  # [B]
    source_length: int
    target_length: int

    @property
    def shape(self) -> BatchShape:
        """The batch's."""
        return BatchShape(len(self.rows), self.source_length, self.target_length)

    @property
    def pairs(self) -> Rows:
        """[N], without the empty rows."""
        return self.rows[self.rows != EMPTY_ROW]

    @property
    def apart(self) -> "BatchPlan":
        """The pairs in rows of their own, as they are here."""
        return self

    @property
    def room(self) -> Lengths:
        """int32 [B, 2], the columns that each side of a row may take."""
        return np.full((len(self.rows), 2), [self.source_length, self.target_length], np.int32)

    def read_by(self, host: Host) -> Rows:
        """Returns which of the B rows are a host's."""
        return np.arange(len(self.rows))[host.rows]

    def part(self, host: Host, places: Rows) -> "BatchPlan":
        """Returns a host's rows of the batch; all hosts have as many.

        Args:
            host: One of the machines that read together.
            places: Of each pair in what the host has read.
        """
        missing = -len(self.rows) % host.of
        rows = np.pad(self.rows, (0, missing), constant_values=EMPTY_ROW)[host.rows]
        return self._replace(rows=np.where(rows == EMPTY_ROW, EMPTY_ROW, places[rows]))


def few_counts(rows: int) -> int:
    """Rounds a number of rows up, to a multiple of 8 and so that few numbers are left: 1 -> 8, 1000 -> 1024."""
    step = max(ROWS_MULTIPLE, 1 << max(0, rows.bit_length() - 4))
    return -(-rows // step) * step


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


def largest_shapes(
    longest_source: int, longest_target: int, rows: int, *, batch_tokens: int, max_length: int
) -> list[BatchShape]:
    """Gives shapes of which each batch of pairs no longer than these is within one: what memory must be there for.

    Args:
        longest_source: The length of the longest source.
        longest_target: That of the longest target.
        rows: So many in all lanes at most, were all as long as the longest.
        batch_tokens: As of `plan_batches`.
        max_length: As of `plan_batches`.

    Raises:
        DataError: if the budget does not hold 8 rows of `max_length`.
    """
    buckets = bucket_lengths(max_length)
    capacities = rows_within(batch_tokens, buckets)
    source, target = np.searchsorted(buckets, np.minimum([longest_source, longest_target], max_length))
    widths = range(max(source, target) + 1)
    most = few_counts(rows)
    return [BatchShape(min(capacities[w], most), buckets[min(w, source)], buckets[min(w, target)]) for w in widths]


def plan_batches(lengths: Lengths, lanes: Sequence[Rows], *, batch_tokens: int, max_length: int) -> list[BatchPlan]:
    """Gives batches that hold each row of the lanes once, except those longer than `max_length`, widest first.

    Args:
        lengths: int32 [N, 2], source and target of each row, EOS counted.
        lanes: the rows to use of each lane; row i of a batch is of lane i mod L, L being 1, 2, 4 or 8. Within a batch's
            bucket those of a lane keep their order, so shuffle them to shuffle.
        batch_tokens: no side of a batch has more tokens than this, padding counted.
        max_length: pairs with a longer side are skipped.

    Raises:
        DataError: if the budget does not hold 8 rows of `max_length`.
    """
    buckets = bucket_lengths(max_length)
    capacities = rows_within(batch_tokens, buckets)
    sorted_lanes = [_widest_first(lengths, lane, buckets) for lane in lanes]
    height = max(len(rows) for rows, _ in sorted_lanes)
    rows = np.full((height, len(lanes)), EMPTY_ROW, np.int64)
    bucket = np.zeros((height, len(lanes), 2), np.uint8)
    for i, (of_lane, its_bucket) in enumerate(sorted_lanes):
        rows[: len(of_lane), i], bucket[: len(of_lane), i] = of_lane, its_bucket
    most = few_counts(height * len(lanes))  # else a large budget would make rows of nothing
    plans, start = [], 0
    while start < height:
        capacity = capacities[bucket[start].max()]  # widest first: no later row is wider
        end = start + capacity // len(lanes)
        source, target = bucket[start:end].reshape(-1, 2).max(axis=0)
        taken = rows[start:end].ravel()
        taken = np.pad(taken, (0, min(capacity, most) - len(taken)), constant_values=EMPTY_ROW)
        plans.append(BatchPlan(taken, buckets[source], buckets[target]))
        start = end
    return plans


def _widest_first(lengths: Lengths, rows: Rows, buckets: list[int]) -> tuple[Rows, Buckets]:
    """Gives those of some rows that the buckets hold, from wide to narrow, and the buckets [N, 2] of their sides."""
    rows = rows[longer_sides(lengths)[rows] <= buckets[-1]]
    bucket = bucket_of_each(buckets)[lengths[rows]]
    order = from_wide_to_narrow(bucket, len(buckets))
    return rows[order], bucket[order]


def count_batches(histograms: Rows, *, batch_tokens: int, max_length: int) -> Rows:
    """Gives how many batches `plan_batches` would make of each of some sets of rows.

    It needs no more than how many rows have a longer side of which bucket: where a batch ends follows from how many
    rows are as wide, not from which they are.

    Args:
        histograms: int64 [W, L, buckets]; how many rows of each set and lane have a longer side of which bucket.
        batch_tokens: as of `plan_batches`.
        max_length: as of `plan_batches`.
    """
    buckets = bucket_lengths(max_length)
    sets, lanes, _ = histograms.shape
    batches, ended = np.zeros(sets, np.int64), np.zeros(sets, np.int64)  # where the last batch ends in the lanes
    as_wide = np.zeros((sets, lanes), np.int64)
    for number, capacity in reversed(list(enumerate(rows_within(batch_tokens, buckets)))):
        as_wide += histograms[:, :, number]
        left = as_wide.max(axis=1) - ended  # of the wider rows' last batch takes some
        begun = -(-np.maximum(left, 0) // (capacity // lanes))
        batches += begun
        ended += begun * (capacity // lanes)
    return batches


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
