"""Divides pairs into batches within a token budget, with few different shapes. Reads only the lengths of the pairs.

A plan says which rows go into a batch, and to which lengths the source and the target are padded. Plans are made
without reading tokens. So a training can resume in the middle of an epoch without reading the data before that
position. Only a small set of batch shapes is possible: the source and target length come from `bucket_lengths`, and the
longer of these two lengths determines the number of rows.

A worked example: the buckets are 4, 5, 6, 7, 8, and the budget is 64 tokens per side. The number of rows is a multiple
of 8, so a batch has 64 // 8 = 8 rows if its width is 5 to 8, and 16 rows if its width is 4. The width of a row is the
bucket of its longer side. Take 12 pairs with these (source, target) lengths:

    row      0      1      2      3      4      5      6      7      8      9      10     11
    lengths (8,8)  (7,8)  (3,4)  (4,4)  (5,6)  (6,6)  (5,5)  (2,3)  (3,3)  (4,2)  (4,4)  (3,3)

The first batch begins with the widest rows, 1 and 0. They do not fill the 8 rows of the batch, so the batch also gets
the next narrower rows: 4 and 5 of width 6, 6 of width 5, then 2, 3, 7 of width 4. The second batch has the remaining
rows, 8 to 11, of width 4. It is filled up with empty rows to 16 rows, to keep the number of shapes small. However large
the budget is, no batch has many more rows than there are pairs.

If the data has L lanes (`pipelines.shards.lanes`), row i of a batch is a row of lane i mod L, and each lane contributes
its widest rows first. A lane without further rows contributes empty rows.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.buckets import (
    Buckets,
    Lengths,
    Rows,
    bucket_lengths,
    bucket_of_each,
    from_wide_to_narrow,
    longer_sides,
)
from keras_nmt.pipelines.shards.lanes import Host
from keras_nmt.pipelines.shards.reading import TokenizedPairs
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, PAD

ROWS_MULTIPLE = 8  # so that a batch can be divided among 2, 4 or 8 replicas or accumulation steps
EMPTY_ROW = -1

Ids = NDArray[np.int32]
NumpyBatch = tuple[dict[str, Ids], Ids]


class BatchShape(NamedTuple):
    """The shape of a batch: B rows, S source and T target positions."""

    rows: int
    source_length: int
    target_length: int


class BatchPlan(NamedTuple):
    """The pairs of a batch, and the lengths to which its source and its target are padded."""

    rows: Rows  # [B], the index of the pair in each row, or EMPTY_ROW
    source_length: int
    target_length: int

    @property
    def shape(self) -> BatchShape:
        """The shape of the batch."""
        return BatchShape(len(self.rows), self.source_length, self.target_length)

    @property
    def pairs(self) -> Rows:
        """The indices of the pairs of the batch, int64 [N]; empty rows are left out."""
        return self.rows[self.rows != EMPTY_ROW]

    @property
    def one_per_row(self) -> "BatchPlan":
        """This plan itself, because it already has one pair per row. (`PackedPlan.one_per_row` returns a new plan.)"""
        return self

    @property
    def room(self) -> Lengths:
        """The maximum length of each side of each row, int32 [B, 2]."""
        return np.full((len(self.rows), 2), [self.source_length, self.target_length], np.int32)

    def read_by(self, host: Host) -> Rows:
        """Returns the indices of the rows that a host reads."""
        return np.arange(len(self.rows))[host.rows]

    def part(self, host: Host, places: Rows) -> "BatchPlan":
        """Returns the plan of the rows of this batch that a host reads.

        If the rows cannot be divided equally among the hosts, empty rows are added, so that every host gets the same
        number of rows.

        Args:
            host: One of the machines that read together.
            places: For each pair of the window, its index among those pairs of the window that the host has read.
        """
        missing = -len(self.rows) % host.of
        rows = np.pad(self.rows, (0, missing), constant_values=EMPTY_ROW)[host.rows]
        return self._replace(rows=np.where(rows == EMPTY_ROW, EMPTY_ROW, places[rows]))


def rounded_rows(rows: int) -> int:
    """Rounds a number of rows up to one of few possible values, which are multiples of 8: 1 -> 8, 1000 -> 1024."""
    step = max(ROWS_MULTIPLE, 1 << max(0, rows.bit_length() - 4))
    return -(-rows // step) * step


def rows_within(batch_tokens: int, lengths: list[int]) -> list[int]:
    """Returns the number of rows of a batch for each length to which the rows may be padded.

    If the rows are padded to a length, their number is the largest multiple of 8 with which the sources, and also
    the targets, have at most `batch_tokens` tokens, padding included.

    Raises:
        DataError: `batch_tokens` is too small for 8 rows of the longest length.
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
    """Returns the largest possible shapes of batches, for estimating memory. Each batch fits into one of these shapes.

    Args:
        longest_source: The length of the longest source.
        longest_target: The length of the longest target.
        rows: An upper bound on the number of pairs to divide into batches: the number of lanes times the number of
            pairs in the largest lane.
        batch_tokens: The maximum number of tokens on each side of a batch, padding included.
        max_length: The maximum number of tokens on a side; longer pairs are skipped.

    Raises:
        DataError: `batch_tokens` is too small for 8 rows of `max_length`.
    """
    buckets = bucket_lengths(max_length)
    capacities = rows_within(batch_tokens, buckets)
    source, target = np.searchsorted(buckets, np.minimum([longest_source, longest_target], max_length))
    widths = range(max(source, target) + 1)
    max_rows = rounded_rows(rows)
    return [BatchShape(min(capacities[w], max_rows), buckets[min(w, source)], buckets[min(w, target)]) for w in widths]


def plan_batches(lengths: Lengths, lanes: Sequence[Rows], *, batch_tokens: int, max_length: int) -> list[BatchPlan]:
    """Plans batches that contain each pair of the lanes once, the widest pairs first.

    Args:
        lengths: int32 [N, 2], the source and target length of each pair, EOS included.
        lanes: The indices of the pairs of each of L lanes, where L is 1, 2, 4 or 8. Row i of a batch contains a pair of
            lane i mod L. Pairs of a lane with the same source and target bucket keep their order, so the caller should
            shuffle each lane.
        batch_tokens: The maximum number of tokens on each side of a batch, padding included.
        max_length: The maximum number of tokens on a side; longer pairs are skipped.

    Raises:
        DataError: `batch_tokens` is too small for 8 rows of `max_length`.
    """
    buckets = bucket_lengths(max_length)
    capacities = rows_within(batch_tokens, buckets)
    sorted_lanes = [_widest_first(lengths, lane, buckets) for lane in lanes]
    height = max(len(rows) for rows, _ in sorted_lanes)
    rows = np.full((height, len(lanes)), EMPTY_ROW, np.int64)
    bucket = np.zeros((height, len(lanes), 2), np.uint8)
    for i, (lane_rows, lane_buckets) in enumerate(sorted_lanes):
        rows[: len(lane_rows), i], bucket[: len(lane_rows), i] = lane_rows, lane_buckets
    max_rows = rounded_rows(height * len(lanes))  # otherwise a large budget would add mostly empty rows
    plans, start = [], 0
    while start < height:
        capacity = capacities[bucket[start].max()]  # widest first: no later row is wider
        end = start + capacity // len(lanes)
        source, target = bucket[start:end].reshape(-1, 2).max(axis=0)
        taken = rows[start:end].ravel()
        taken = np.pad(taken, (0, min(capacity, max_rows) - len(taken)), constant_values=EMPTY_ROW)
        plans.append(BatchPlan(taken, buckets[source], buckets[target]))
        start = end
    return plans


def _widest_first(lengths: Lengths, rows: Rows, buckets: list[int]) -> tuple[Rows, Buckets]:
    """Returns the pairs that are not too long, from wide to narrow, and their source and target buckets, [N, 2]."""
    rows = rows[longer_sides(lengths)[rows] <= buckets[-1]]
    bucket = bucket_of_each(buckets)[lengths[rows]]
    order = from_wide_to_narrow(bucket, len(buckets))
    return rows[order], bucket[order]


def count_batches(histograms: Rows, *, batch_tokens: int, max_length: int) -> Rows:
    """Returns the number of batches into which `plan_batches` would divide each of W windows, int64 [W].

    Histograms are enough to count batches, because only the numbers of pairs of each width determine where a batch
    ends.

    Args:
        histograms: int64 [W, L, buckets], the number of pairs by window, lane and bucket of the longer side.
        batch_tokens: The maximum number of tokens on each side of a batch, padding included.
        max_length: The maximum number of tokens on a side; longer pairs are skipped.
    """
    buckets = bucket_lengths(max_length)
    sets, lanes, _ = histograms.shape
    batches = np.zeros(sets, np.int64)
    used = np.zeros(sets, np.int64)  # rows of each lane in the batches so far
    wide_rows = np.zeros((sets, lanes), np.int64)  # rows of the current bucket and wider ones
    for number, capacity in reversed(list(enumerate(rows_within(batch_tokens, buckets)))):
        wide_rows += histograms[:, :, number]
        left = wide_rows.max(axis=1) - used  # negative if the last batch has room for narrower rows too
        new_batches = -(-np.maximum(left, 0) // (capacity // lanes))
        batches += new_batches
        used += new_batches * (capacity // lanes)
    return batches


def fill_batch(tokens: TokenizedPairs, plan: BatchPlan) -> NumpyBatch:
    """Returns the batch of a plan, padded with PAD: `({"source": [B, S], "target": [B, T]}, labels [B, T])`."""
    return with_decoder_input(
        padded(tokens, 0, plan.rows, plan.source_length), padded(tokens, 1, plan.rows, plan.target_length)
    )


def with_decoder_input(source: Ids, labels: Ids) -> NumpyBatch:
    """Returns the batch with source [B, S] and labels [B, T]. Computes the decoder input `target` from the labels."""
    return {"source": source, "target": shift_right(labels)}, labels


def shift_right(labels: Ids) -> Ids:
    """Returns the decoder input for labels [B, T]: BOS, followed by all labels except the last one.

    With BOS = 2, EOS = 3 and PAD = 0, `[[7, 8, 3, 0]]` becomes `[[2, 7, 8, 0]]`: PAD stays PAD, EOS is left out.
    """
    shifted = np.full_like(labels, BOS)
    shifted[:, 1:] = labels[:, :-1]
    return np.where(labels == PAD, np.int32(PAD), shifted)


def padded(tokens: TokenizedPairs, side: int, rows: Rows, width: int) -> Ids:
    """Returns the source (side 0) or target (side 1) ids of the rows, int32 [B, width], padded with PAD."""
    columns = np.arange(width)
    present = columns < np.where(rows == EMPTY_ROW, 0, tokens.lengths[rows, side])[:, None]
    places = tokens.starts[rows, side, None] + columns
    return np.where(present, tokens.values[side].take(places, mode="clip"), np.int32(PAD))
