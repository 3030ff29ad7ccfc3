"""Plans packed batches, which have several pairs in each row and all have one shape. Reads only the pairs' lengths.

On a GPU, a program is compiled for each batch shape. Packed batches all have one shape, so only one program is
compiled. Segment ids distinguish the pairs of a row: the source of pair k is where `source_segments` is k, its target
is where `target_segments` is k, and both segment ids are 0 at padding. `pipelines.streaming.packed_batches` places the
tokens.

Rows are filled by worst-fit decreasing, vectorised in rounds. The pairs are sorted by their longer side. In each round,
each row gets at most one pair, and the emptiest row gets the longest remaining pair. A worked example, with 2 rows of 8
source and 8 target tokens and pairs with these (source, target) lengths:

    round 1   (6,5) and (4,4) go to the empty rows 0 and 1, which then have room for (2,3) and (4,4)
    round 2   (3,4) goes to row 1 and (2,2) goes to row 0, which then have room for (1,0) and (0,1) respectively
    round 3   (1,1) fits in neither row and goes to a new row 2, which belongs to another batch
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from keras_nmt.pipelines.shards.buckets import Lengths, Rows, longer_sides
from keras_nmt.pipelines.shards.lanes import Host
from keras_nmt.pipelines.shards.splits import Split
from keras_nmt.pipelines.streaming.batching import ROWS_MULTIPLE, BatchPlan, BatchShape, rounded_rows, rows_within

# With short sentences, rows of 64 tokens have 7% padding and rows of 128 tokens have 3%. Longer rows make attention
# slower.
SHORTEST_ROW = 128
WIDTH_MULTIPLE = 8  # required by tensor cores
NOWHERE = -1
_TRIES = 4  # number of attempts to place a pair before shorter pairs may take the room
_GROUPS = 8  # groups per round; pairs of a group may swap rows, so that source and target fill up evenly


class PackedPlan(NamedTuple):
    """The positions of the N pairs of a packed batch.

    Attributes:
        pairs: [N], the index of each pair in its window.
        rows: [N], the row of each pair.
        segments: [N], the segment id of each pair: 1, 2, ... within each row.
        starts: [N, 2], the columns where the source and the target of each pair begin.
        room: int32 [N, 2], the maximum length of the source and the target of each pair.
        shape: The shape of the batch.
    """

    pairs: Rows
    rows: Rows
    segments: Rows
    starts: Rows
    room: Lengths
    shape: BatchShape

    def read_by(self, host: Host) -> Rows:
        """Returns the indices of the pairs in a host's rows."""
        return np.flatnonzero(self.rows % host.of == host.number)

    def part(self, host: Host, places: Rows) -> "PackedPlan":
        """Returns the plan of the rows of this batch that a host reads.

        If the rows cannot be divided equally among the hosts, empty rows are added, so that every host gets the same
        number of rows.

        Args:
            host: One of the machines that read together.
            places: For each pair of the window, its index among those pairs of the window that the host has read.
        """
        own = self.read_by(host)
        _, rows, segments, starts, room, shape = self
        shape = shape._replace(rows=-(-shape.rows // host.of))
        return PackedPlan(places[self.pairs[own]], rows[own] // host.of, segments[own], starts[own], room[own], shape)

    @property
    def one_per_row(self) -> BatchPlan:
        """A plan of the same pairs with one pair per row. The tokens are read with that plan, and then packed."""
        source_length, target_length = self.room.max(axis=0, initial=1).tolist()
        return BatchPlan(self.pairs, source_length, target_length)


def packed_shape(split: Split, *, batch_tokens: int, max_length: int, sampling_alpha: float = 0.0) -> BatchShape:
    """Returns the shape of all packed batches of a split.

    The source width and the target width have the same ratio as the numbers of source and target tokens in the data,
    so that both sides fill up. Each side is wide enough for its longest sentence. Widths are rounded up to multiples of
    8: with 110 target tokens per 100 source tokens, a `max_length` of 256 gives rows of 256 source and 288 target
    tokens. The number of rows is limited to about twice the number of rows that all pairs of an epoch fill.

    Args:
        split: The training split.
        batch_tokens: The maximum number of tokens on each side of a batch, padding included.
        max_length: The maximum number of tokens on a side; longer pairs are skipped.
        sampling_alpha: The exponent of subword regularisation. If it is above 0, rows are wide enough for sentences of
            `max_length`, because drawn segmentations may be longer than the stored ones.

    Raises:
        DataError: `batch_tokens` is too small for 8 rows of `max_length`.
    """
    rows_within(batch_tokens, [max_length])
    shards = split.shards
    tokens = np.array([sum(s.source_tokens for s in shards), sum(s.target_tokens for s in shards)])
    longest = np.array([max(s.longest_source for s in shards), max(s.longest_target for s in shards)])
    longest = np.minimum(max_length, max_length if sampling_alpha else longest)
    widths = tokens * max((longest / tokens).max(), SHORTEST_ROW / tokens.mean())
    widths = np.ceil(widths / WIDTH_MULTIPLE) * WIDTH_MULTIPLE
    widths = np.minimum(widths, batch_tokens // ROWS_MULTIPLE).astype(int)
    source, target = widths.tolist()
    filled = int(np.ceil((tokens * split.times_taken / widths).max()))  # rows that the pairs of an epoch fill
    rows = min(rows_within(batch_tokens, [max(source, target)])[0], rounded_rows(2 * filled))
    return BatchShape(rows, source, target)


def pack_batches(
    lengths: Lengths, lanes: Sequence[Rows], shape: BatchShape, *, max_length: int, random: np.random.Generator
) -> list[PackedPlan]:
    """Plans packed batches of one shape that contain each pair of the lanes once.

    In each lane, rows are filled with pairs. Then the rows are shuffled and divided into batches.

    Args:
        lengths: int32 [N, 2], the number of positions that the source and the target of each pair get, EOS included.
        lanes: The indices of the pairs of each of L lanes, shuffled, where L is 1, 2, 4 or 8. Row i of a batch contains
            pairs of lane i mod L.
        shape: The shape of every batch. A row must have room for each pair that is not skipped.
        max_length: The maximum number of tokens on a side; longer pairs are skipped.
        random: The random generator that shuffles the rows of each lane.
    """
    widths = np.array([shape.source_length, shape.target_length])
    share = shape.rows // len(lanes)  # number of rows that each lane has in a batch
    lanes = [lane[longer_sides(lengths)[lane] <= max_length] for lane in lanes]
    lanes = [lane[_longest_first(lengths[lane], widths)] for lane in lanes]
    least = max(_rows_for(lengths[lane], widths) for lane in lanes)
    rows = [_rows_of(lengths[lane], widths, -(-least // share) * share) for lane in lanes]
    batches = max(int(row.max(initial=NOWHERE)) // share + 1 for row in rows)
    if not batches:
        return []
    # The rows of all batches are numbered consecutively: batch 0 has rows 0 to B - 1, batch 1 has rows B to 2B - 1, and
    # so on. Lane i has rows i, i + L, i + 2L, ...
    rows = [random.permutation(batches * share)[row] * len(lanes) + i for i, row in enumerate(rows)]
    pairs = np.concatenate(lanes)
    return _cut(pairs, np.concatenate(rows), lengths[pairs], shape, batches)


def _longest_first(lengths: Lengths, widths: Rows) -> Rows:
    """Returns the order of the pairs by the share of a row that a pair needs, largest first, int64 [N].

    The share of a pair is the larger of source length / source width and target length / target width. Several
    combinations of source and target length may have the same share. The pairs of each combination are spread evenly
    among the pairs with this share, and keep their order. So the lengths that are packed in one row do not depend on
    how the pairs were shuffled.
    """
    _, kind, counts = np.unique(lengths @ np.array([1 << 32, 1]), return_inverse=True, return_counts=True)
    by_kind = np.argsort(kind, kind="stable")
    number = np.empty_like(by_kind)  # the index of each pair among the pairs with the same two lengths
    number[by_kind] = np.arange(len(kind)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((kind, (number + 0.5) / counts[kind], -(lengths / widths).max(axis=1, initial=0)))


def _rows_for(lengths: Lengths, widths: Rows) -> int:
    """Returns a lower bound on the number of rows that the pairs fill."""
    return int(np.ceil((lengths.sum(axis=0) / widths).max()))


def _rows_of(lengths: Lengths, widths: Rows, rows: int) -> Rows:
    """Returns the number of the row in which each pair is placed, int64 [N].

    The pairs must be in the order of `_longest_first`. At first, there are `rows` empty rows. If some pairs do not fit
    in any of these rows, more rows are added.
    """
    row = np.full(len(lengths), NOWHERE)
    room = np.tile(widths, (rows, 1))
    while len(left := np.flatnonzero(row == NOWHERE)):
        _fill(row, room, left, lengths, widths)
        if (row[left] == NOWHERE).all():
            room = np.concatenate([room, np.tile(widths, (_rows_for(lengths[left], widths), 1))])
    return row


def _fill(row: Rows, room: Rows, left: Rows, lengths: Lengths, widths: Rows) -> None:
    """Places the pairs `left` in rounds, and updates `row` and `room`. Each row gets at most one pair in a round.

    A pair that does not fit is tried again in the next rounds, until it has been tried `_TRIES` times.
    """
    tries = np.zeros(len(row), np.uint8)
    while len(left):
        pairs, later = left[: len(room)], left[len(room) :]
        _fill_round(row, room, pairs, lengths, widths)
        tries[pairs] += 1
        left = np.concatenate([pairs[(row[pairs] == NOWHERE) & (tries[pairs] < _TRIES)], later])


def _fill_round(row: Rows, room: Rows, pairs: Rows, lengths: Lengths, widths: Rows) -> None:
    """Places at most one pair in each row, and updates `row` and `room`. Pairs that do not fit are not placed.

    The longest pairs go to the emptiest rows. Within a group of pairs of similar length, the pairs whose sources are
    long compared to their targets go to the rows with most room for sources.
    """
    empty = room / widths
    emptiest = np.argsort(-empty.min(axis=1), kind="stable")[: len(pairs)]
    # Within a group of similar pairs, the one with the longest source goes to the row with most room for source.
    group = np.arange(len(pairs)) // (1 + len(room) // _GROUPS)
    emptiest = emptiest[np.lexsort((empty[emptiest, 0] - empty[emptiest, 1], group))]
    needed = lengths[pairs] / widths
    pairs = pairs[np.lexsort((needed[:, 0] - needed[:, 1], group))]
    fits = (lengths[pairs] <= room[emptiest]).all(axis=1)
    row[pairs[fits]] = emptiest[fits]
    room[emptiest[fits]] -= lengths[pairs[fits]]


def _cut(pairs: Rows, rows: Rows, room: Lengths, shape: BatchShape, batches: int) -> list[PackedPlan]:
    """Divides the pairs into batches, in the order of their rows.

    Args:
        pairs: The index of each pair in the window.
        rows: The row of each pair. The rows of all batches are numbered consecutively: with B rows per batch, batch 0
            has rows 0 to B - 1, batch 1 has rows B to 2B - 1, and so on.
        room: int32 [N, 2], the number of positions that the source and the target of each pair get.
        shape: The shape of every batch.
        batches: The number of batches.
    """
    order = np.argsort(rows, kind="stable")
    pairs, rows, room = pairs[order], rows[order], room[order]
    first = np.flatnonzero(np.diff(rows, prepend=-1))  # the first pair of each row
    counts = np.diff(first, append=len(rows))
    segments = 1 + np.arange(len(rows)) - np.repeat(first, counts)
    before = np.cumsum(room, axis=0, dtype=np.int64) - room
    starts = before - np.repeat(before[first], counts, axis=0)
    bounds = np.searchsorted(rows, shape.rows * np.arange(batches + 1))
    rows %= shape.rows
    return [
        PackedPlan(pairs[a:b], rows[a:b], segments[a:b], starts[a:b], room[a:b], shape) for a, b in pairwise(bounds)
    ]
