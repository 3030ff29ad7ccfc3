"""Lanes: dealing pairs to shards with similar lengths, and the shards that a machine reads."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keras_nmt.pipelines.shards.lanes import Host, deal, lane_count

LENGTHS = st.lists(st.tuples(st.integers(1, 30), st.integers(1, 30)), max_size=150)


def test_the_worked_example_of_the_module_is_true() -> None:
    """The seed reproduces the orders of the example."""
    chunks = [[9, 8, 7, 6, 5, 4, 3, 2], [9, 9, 8, 7, 6, 5, 4, 3]]
    first, second = (
        deal(np.array([lengths, lengths], np.int32).T, 4, longest=9, seed=412, chunk=i)
        for i, lengths in enumerate(chunks)
    )
    assert first.tolist() == [2, 0, 3, 1, 1, 3, 0, 2]
    assert second.tolist() == [3, 1, 2, 0, 0, 2, 1, 3]


@given(LENGTHS, st.integers(1, 20), st.integers(0, 1000))
def test_shards_have_equally_many_pairs_above_any_length_up_to_one(
    pairs: list[tuple[int, int]], shards: int, chunk: int
) -> None:
    lengths = np.array(pairs, np.int32).reshape(-1, 2)
    shard_of = deal(lengths, shards, longest=30, seed=3, chunk=chunk)
    assert ((shard_of >= 0) & (shard_of < shards)).all()
    for longest in (0, 8, 16, 17):  # ends of buckets
        counts = np.bincount(shard_of[lengths.max(axis=1, initial=0) > longest], minlength=shards)
        assert counts.max() - counts.min() <= 1


def test_differences_between_shards_do_not_add_up_over_chunks() -> None:
    """Random dealing would give a deviation of 13, independent orders in each chunk 3.7."""
    random = np.random.default_rng(0)
    longer = np.zeros(400, int)
    for chunk in range(64):
        lengths = random.integers(2, 65, size=(2000, 2)).astype(np.int32)
        shard_of = deal(lengths, 400, longest=64, seed=0, chunk=chunk)
        longer += np.bincount(shard_of[lengths.max(axis=1) > 44], minlength=400)  # 44 ends a bucket
    assert longer.mean() == pytest.approx(171, abs=1)
    assert longer.std() < 2


def test_neighbours_and_equal_lengths_are_dealt_to_all_shards() -> None:
    shard_of = deal(np.full((1600, 2), 7, np.int32), 16, longest=64, seed=0, chunk=5)
    assert np.bincount(shard_of).tolist() == [100] * 16
    pairs = np.bincount(shard_of[:-1] * 16 + shard_of[1:], minlength=256)
    assert pairs.max() < 30  # no shard follows another in all chunks


@pytest.mark.parametrize(
    ("hosts", "lanes_of_last"),
    [(1, [*range(8)]), (2, [1, 3, 5, 7]), (3, [*range(8)]), (4, [3, 7]), (6, [1, 3, 5, 7]), (8, [7]), (16, [7])],
)
def test_a_machine_reads_its_share_of_the_lanes_if_they_divide(hosts: int, lanes_of_last: list[int]) -> None:
    assert [lane for lane in range(8) if Host(hosts - 1, hosts).reads(lane, 8)] == lanes_of_last


@pytest.mark.parametrize(
    ("shards", "most", "lanes"), [(16, 99, 8), (8, 8, 8), (8, 7, 4), (12, 99, 4), (7, 99, 1), (16, 0, 1), (2, 2, 2)]
)
def test_the_number_of_lanes_divides_the_shards_and_fits_in_a_window(shards: int, most: int, lanes: int) -> None:
    assert lane_count(shards, most) == lanes
