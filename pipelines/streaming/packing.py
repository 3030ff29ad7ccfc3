"""Plans packed batches: several pairs per row, all batches of one shape, from the lengths of the pairs only.

On a GPU a program is compiled for each batch shape, so batches of one shape compile once. Segment ids tell the pairs of
a row apart: the source of pair k lies where `source_segments` is k, its target where `target_segments` is k, and both
are 0 at padding. Tokens are placed by `pipelines.streaming.packed_batches`.

Rows are filled by worst-fit decreasing, vectorised in rounds: the pairs are sorted by their longer side, and in each
round the emptiest row gets the longest remaining pair. A worked example, with 2 rows of 8 source and 8 target tokens
and pairs with these (source, target) lengths:

    round 1   (6,5) and (4,4) open rows 0 and 1, which have room for (2,3) and (4,4)
    round 2   (3,4) goes to row 1 and (2,2) to row 0, which leaves room for (0,1) and (1,0)
    round 3   (1,1) fits neither row and opens row 2, of another batch
"""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from keras_nmt.pipelines.shards.buckets import Lengths, Rows, longer_sides
from keras_nmt.pipelines.shards.lanes import Host
from keras_nmt.pipelines.shards.splits import Split
from keras_nmt.pipelines.streaming.batching import ROWS_MULTIPLE, BatchPlan, BatchShape, rounded_rows, rows_within

# With short sentences, rows of 64 tokens are 7% padding and rows of 128 are 3%; longer rows cost more attention.
SHORTEST_ROW = 128
WIDTH_MULTIPLE = 8  # required by tensor cores
NOWHERE = -1
_TRIES = 4  # attempts to place a pair before shorter pairs take the room
_GROUPS = 8  # per round; pairs of a group may swap rows, so that source and target fill up evenly


class PackedPlan(NamedTuple):
    """The positions of the N pairs of a packed batch.

    Attributes:
        pairs: [N], the pairs.
        rows: [N], the row of each pair.
        segments: [N], the segment id of each pair: 1, 2, ... within each row.
        starts: [N, 2], the columns where source and target begin.
        room: int32 [N, 2], the maximum length of source and target.
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
        """Returns the plan of a host's rows; all hosts have equally many.

        Args:
            host: One of the machines that read together.
            places: The index of each pair in the host's own data.
        """
        own = self.read_by(host)
        _, rows, segments, starts, room, shape = self
        shape = shape._replace(rows=-(-shape.rows // host.of))
        return PackedPlan(places[self.pairs[own]], rows[own] // host.of, segments[own], starts[own], room[own], shape)

    @property
    def one_per_row(self) -> BatchPlan:
        """The plan with one pair per row: how the pairs are read before they are packed."""
        source_length, target_length = self.room.max(axis=0, initial=1).tolist()
        return BatchPlan(self.pairs, source_length, target_length)


def packed_shape(split: Split, *, batch_tokens: int, max_length: int, sampling_alpha: float = 0.0) -> BatchShape:
    """Returns the shape of all packed batches of a split.

    The widths of the two sides have the same ratio as the tokens of the data, so that both sides fill up, and each side
    holds its longest sentence. With 110 target tokens per 100 source tokens, a `max_length` of 256 gives rows of 256
    source and 288 target tokens. A batch has at most about twice the rows that all pairs fill.

    Args:
        split: The training split.
        batch_tokens: The maximum number of tokens on each side of a batch, padding included.
        max_length: Longer pairs are skipped.
        sampling_alpha: Above 0, drawn segmentations may be longer than the stored ones.

    Raises:
        DataError: The budget does not hold 8 rows of `max_length`.
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
    """Plans batches of one shape that hold each pair of the lanes once; pairs longer than `max_length` are skipped.

    Args:
        lengths: int32 [N, 2], the room for source and target of each pair, EOS included.
        lanes: The shuffled pairs of each of L lanes, L = 1, 2, 4 or 8; row i of a batch holds pairs of lane i mod L.
        shape: The shape of every batch; both sides are at least `max_length` wide.
        max_length: Pairs with a longer side are skipped.
        random: Shuffles the rows of each lane.
    """
    widths = np.array([shape.source_length, shape.target_length])
    share = shape.rows // len(lanes)  # rows of each lane in a batch
    lanes = [lane[longer_sides(lengths)[lane] <= max_length] for lane in lanes]
    lanes = [lane[_longest_first(lengths[lane], widths)] for lane in lanes]
    least = max(_rows_for(lengths[lane], widths) for lane in lanes)
    rows = [_rows_of(lengths[lane], widths, -(-least // share) * share) for lane in lanes]
    batches = max(int(row.max(initial=NOWHERE)) // share + 1 for row in rows)
    if not batches:
        return []
    # Rows are numbered through all batches; lane i has rows i, i + L, i + 2L, ...
    rows = [random.permutation(batches * share)[row] * len(lanes) + i for i, row in enumerate(rows)]
    pairs = np.concatenate(lanes)
    return _cut(pairs, np.concatenate(rows), lengths[pairs], shape, batches)


def _longest_first(lengths: Lengths, widths: Rows) -> Rows:
    """Returns the order of the pairs by the share of a row that they need, largest first.

    Among pairs that need the same share, those of equal lengths are spread evenly and keep their order. So which
    lengths share a row does not depend on how the pairs are shuffled.
    """
    _, kind, counts = np.unique(lengths @ np.array([1 << 32, 1]), return_inverse=True, return_counts=True)
    by_kind = np.argsort(kind, kind="stable")
    number = np.empty_like(by_kind)  # the index of each pair among those of equal lengths
    number[by_kind] = np.arange(len(kind)) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.lexsort((kind, (number + 0.5) / counts[kind], -(lengths / widths).max(axis=1, initial=0)))


def _rows_for(lengths: Lengths, widths: Rows) -> int:
    """Returns a lower bound on the number of rows that the pairs fill."""
    return int(np.ceil((lengths.sum(axis=0) / widths).max()))


def _rows_of(lengths: Lengths, widths: Rows, rows: int) -> Rows:
    """Returns the row of each pair, given the longest first; uses more than `rows` rows only if needed."""
    row = np.full(len(lengths), NOWHERE)
    room = np.tile(widths, (rows, 1))
    while len(left := np.flatnonzero(row == NOWHERE)):
        _fill(row, room, left, lengths, widths)
        if (row[left] == NOWHERE).all():
            room = np.concatenate([room, np.tile(widths, (_rows_for(lengths[left], widths), 1))])
    return row


def _fill(row: Rows, room: Rows, left: Rows, lengths: Lengths, widths: Rows) -> None:
    """Places pairs in rounds, at most one per row in each; a pair that does not fit is tried again in the next."""
    tries = np.zeros(len(row), np.uint8)
    while len(left):
        pairs, later = left[: len(room)], left[len(room) :]
        _fill_round(row, room, pairs, lengths, widths)
        tries[pairs] += 1
        left = np.concatenate([pairs[(row[pairs] == NOWHERE) & (tries[pairs] < _TRIES)], later])


def _fill_round(row: Rows, room: Rows, pairs: Rows, lengths: Lengths, widths: Rows) -> None:
    """Places each pair that fits in a row of its own, the longest in the emptiest row."""
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
    """Cuts the pairs into batches, given their rows, which are numbered through all batches."""
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
