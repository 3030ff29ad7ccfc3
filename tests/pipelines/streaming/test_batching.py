"""Bucket lengths, batch plans, and decoder inputs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.buckets import bucket_lengths
from keras_nmt.pipelines.shards.reading import TokenizedPairs
from keras_nmt.pipelines.streaming.batching import (
    EMPTY_ROW,
    count_batches,
    fill_batch,
    largest_shapes,
    plan_batches,
    rounded_rows,
    rows_within,
    shift_right,
)

LANES = st.sampled_from([1, 2, 4, 8])
LENGTHS = st.lists(st.tuples(st.integers(2, 40), st.integers(2, 40)), max_size=200)


def test_bucket_lengths_grow_by_1_then_by_6_percent_and_end_at_the_longest() -> None:
    assert bucket_lengths(25)[-9:] == [13, 14, 15, 16, 17, 19, 21, 23, 25]
    assert bucket_lengths(104)[-7:] == [61, 65, 72, 80, 88, 96, 104]
    assert bucket_lengths(3) == [3]


@given(st.integers(1, 2000))
def test_bucket_lengths_are_few_and_ascending_and_end_at_the_longest(longest: int) -> None:
    lengths = bucket_lengths(longest)
    assert lengths == sorted(set(lengths))
    assert lengths[-1] == longest
    assert len(lengths) <= 90


def test_the_number_of_rows_is_the_largest_multiple_of_8_within_the_budget() -> None:
    assert rows_within(100, [4, 6, 12]) == [24, 16, 8]


def test_a_budget_below_8_of_the_longest_is_refused() -> None:
    with pytest.raises(DataError, match="batch of 100 tokens does not hold 8 sentences of 13 tokens; use at least 104"):
        rows_within(100, [4, 13])


def test_the_worked_example_of_the_module_is_true() -> None:
    lengths = [(8, 8), (7, 8), (3, 4), (4, 4), (5, 6), (6, 6), (5, 5), (2, 3), (3, 3), (4, 2), (4, 4), (3, 3)]
    first, last = plan_batches(np.array(lengths, np.int32), [np.arange(12)], batch_tokens=64, max_length=8)
    assert first.rows.tolist() == [1, 0, 4, 5, 6, 2, 3, 7]
    assert last.rows.tolist() == [8, 9, 10, 11, *[-1] * 12]
    assert (first[1:], last[1:]) == ((8, 8), (4, 4))


@given(LENGTHS, LANES, st.integers(10, 40), st.integers(320, 700))
def test_each_row_that_fits_is_planned_once_in_its_lane_within_the_budget(
    pairs: list[tuple[int, int]], lanes: int, max_length: int, batch_tokens: int
) -> None:
    lengths = np.array(pairs, np.int32).reshape(-1, 2)
    order = np.random.default_rng(0).permutation(len(lengths))
    in_lanes = [order[i::lanes] for i in range(lanes)]
    plans = plan_batches(lengths, in_lanes, batch_tokens=batch_tokens, max_length=max_length)
    planned = [row for plan in plans for row in plan.rows if row >= 0]
    assert sorted(planned) == [row for row, pair in enumerate(pairs) if max(pair) <= max_length]
    for plan in plans:
        real = lengths[plan.rows[plan.rows >= 0]]
        assert (real <= [plan.source_length, plan.target_length]).all()
        assert len(plan.rows) % 8 == 0
        assert len(plan.rows) * max(plan.source_length, plan.target_length) <= batch_tokens
        for i, lane in enumerate(in_lanes):
            assert set(plan.rows[i::lanes]) <= {*lane, EMPTY_ROW}
    if lanes == 1:
        assert all((plan.rows >= 0).all() for plan in plans[:-1])


@settings(deadline=None)
@given(LENGTHS, LENGTHS, LANES, st.integers(10, 40), st.integers(320, 700))
def test_batches_are_counted_from_a_histogram_of_lengths(
    first: list[tuple[int, int]], second: list[tuple[int, int]], lanes: int, max_length: int, batch_tokens: int
) -> None:
    options = {"batch_tokens": batch_tokens, "max_length": max_length}
    sets = [np.array(pairs, np.int32).reshape(-1, 2) for pairs in (first, second)]
    in_lanes = [[np.arange(len(lengths))[i::lanes] for i in range(lanes)] for lengths in sets]
    buckets = bucket_lengths(max_length)
    bucket = np.searchsorted(buckets, np.arange(41))  # the bucket after the last is for skipped rows
    histograms = [
        [
            np.bincount(bucket[lengths[lane].max(axis=1)], minlength=len(buckets) + 1)[: len(buckets)]
            for lane in its_lanes
        ]
        for lengths, its_lanes in zip(sets, in_lanes, strict=True)
    ]
    counted = count_batches(np.array(histograms), **options)
    planned = [plan_batches(lengths, lanes, **options) for lengths, lanes in zip(sets, in_lanes, strict=True)]
    assert counted.tolist() == list(map(len, planned))


def test_a_batch_takes_the_widest_rows_of_all_lanes_in_turn() -> None:
    lengths = np.array([(8, 8), (5, 5), (4, 4), (8, 7), (6, 6), (4, 4)] * 2, np.int32)
    even, odd = np.arange(0, 12, 2), np.arange(1, 12, 2)
    first, last = plan_batches(lengths, [even, odd], batch_tokens=64, max_length=8)
    assert first.rows.tolist() == [0, 3, 6, 9, 4, 1, 10, 7]
    assert last.rows.tolist() == [2, 5, 8, 11, *[EMPTY_ROW] * 12]


@given(LENGTHS)
def test_shapes_are_from_a_fixed_set_for_any_data(pairs: list[tuple[int, int]]) -> None:
    lengths = np.array(pairs, np.int32).reshape(-1, 2)
    buckets = bucket_lengths(40)
    rows = dict(zip(buckets, rows_within(500, buckets), strict=True))
    most = rounded_rows((lengths.max(axis=1, initial=0) <= 40).sum().item())
    for plan in plan_batches(lengths, [np.arange(len(lengths))], batch_tokens=500, max_length=40):
        assert {plan.source_length, plan.target_length} <= set(buckets)
        assert len(plan.rows) == min(most, rows[max(plan.source_length, plan.target_length)])


def test_a_budget_for_all_pairs_gives_one_batch_with_few_empty_rows() -> None:
    lengths = np.array([(8, 8), *[(3, 4)] * 90], np.int32)
    (plan,) = plan_batches(lengths, [np.arange(91)], batch_tokens=10**9, max_length=256)
    assert plan.shape == (96, 8, 8)
    assert largest_shapes(8, 8, 91, batch_tokens=10**9, max_length=256)[-1] == (96, 8, 8)


@given(st.integers(1, 10**9))
def test_a_number_of_rows_is_rounded_up_to_few_values(rows: int) -> None:
    rounded = rounded_rows(rows)
    assert rows <= rounded <= max(rows + 7, 1.126 * rows)
    assert rounded % 8 == 0
    assert len({rounded_rows(rows + i * rows // 1000) for i in range(10)}) <= 2


def test_the_decoder_input_is_bos_and_the_labels_without_eos() -> None:
    labels = np.array([[7, 8, 9, 3], [5, 3, 0, 0], [0, 0, 0, 0]], np.int32)
    assert shift_right(labels).tolist() == [[2, 7, 8, 9], [2, 5, 0, 0], [0, 0, 0, 0]]


def test_a_batch_is_filled_with_its_rows_and_padding() -> None:
    values = (np.array([11, 3, 21, 22, 3], np.int32), np.array([15, 16, 3, 25, 3], np.int32))
    tokens = TokenizedPairs(values, np.array([[2, 3], [3, 2]], np.int32), np.array([[0, 0], [2, 3]]))
    (plan,) = plan_batches(tokens.lengths, [np.array([1, 0])], batch_tokens=32, max_length=4)
    inputs, labels = fill_batch(tokens, plan)
    padding = [[0, 0, 0, 0]] * 6
    assert inputs["source"].tolist() == [[21, 22, 3, 0], [11, 3, 0, 0], *padding]
    assert inputs["target"].tolist() == [[2, 25, 0, 0], [2, 15, 16, 0], *padding]
    assert labels.tolist() == [[25, 3, 0, 0], [15, 16, 3, 0], *padding]
    assert inputs["source"].dtype == labels.dtype == np.int32


@given(LENGTHS.filter(len), st.integers(10, 40), st.integers(320, 700))
def test_every_batch_lies_within_one_of_the_largest_shapes(
    pairs: list[tuple[int, int]], max_length: int, batch_tokens: int
) -> None:
    lengths = np.array(pairs, np.int32)
    options = {"batch_tokens": batch_tokens, "max_length": max_length}
    largest = largest_shapes(*lengths.max(axis=0), len(lengths), **options)
    for plan in plan_batches(lengths, [np.arange(len(lengths))], **options):
        assert any((np.array(plan.shape) <= shape).all() for shape in largest)
    assert all(shape.rows * max(shape[1:]) <= batch_tokens for shape in largest)


def test_the_largest_shapes_are_no_longer_than_the_data() -> None:
    shapes = largest_shapes(9, 5, 100, batch_tokens=320, max_length=40)
    assert shapes == [(80, 4, 4), (64, 5, 5), (48, 6, 5), (40, 7, 5), (40, 8, 5), (32, 9, 5)]
