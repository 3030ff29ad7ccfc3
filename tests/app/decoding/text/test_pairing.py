import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.app.decoding.text import pairing
from keras_nmt.app.decoding.text.pairing import pair_up

SIDE = tf.RaggedTensorSpec([None, None], tf.int32)
traced_pair_up = tf.function(pair_up, input_signature=[SIDE, SIDE], autograph=False)
lengths = st.lists(st.integers(1, 99), min_size=1, max_size=9)


def paired(*pairs: tuple[list[int], list[int]]) -> tuple[list[int], list[int]]:
    sides = (tf.ragged.constant(side, tf.int32) for side in zip(*pairs, strict=True))
    own, its = traced_pair_up(*sides)
    return own.numpy().tolist(), its.numpy().tolist()


@pytest.mark.parametrize(
    ("sources", "targets", "groups", "its_groups"),
    [
        ([10, 99, 5], [70, 5, 60], [0, 1, 2], [0, 1, 2]),  # equal numbers: one to one
        ([50, 20, 40], [52, 10, 11, 39], [0, 1, 2], [0, 1, 1, 2]),
        ([52, 10, 11, 39], [50, 20, 40], [0, 1, 1, 2], [0, 1, 2]),
        ([30, 30], [30, 10, 10, 10], [0, 1], [0, 1, 1, 1]),
        ([10], [5, 5, 5, 5, 5], [0], [0, 0, 0, 0, 0]),  # too many for one sentence
        ([7], [7], [0], [0]),
    ],
)
def test_sentences_are_grouped_by_length(
    sources: list[int], targets: list[int], groups: list[int], its_groups: list[int]
) -> None:
    assert paired((sources, targets)) == (groups, its_groups)


@settings(max_examples=50, deadline=None)
@given(pairs=st.lists(st.tuples(lengths, lengths), min_size=1, max_size=4))
def test_groups_are_in_order_have_both_sides_and_do_not_depend_on_other_texts(
    pairs: list[tuple[list[int], list[int]]],
) -> None:
    own, its = paired(*pairs)
    assert (len(own), len(its)) == tuple(sum(map(len, side)) for side in zip(*pairs, strict=True))
    assert own == sorted(own)
    assert its == sorted(its)
    assert set(own) == set(its) == set(range(1 + own[-1]))
    expected: tuple[list[int], list[int]] = ([], [])
    for pair in pairs:
        begin = 1 + max(expected[0], default=-1)
        for side, groups in zip(expected, paired(pair), strict=True):
            side += [begin + group for group in groups]
    assert (own, its) == expected


def test_too_many_sentences_become_one_group(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairing, "MOST_CELLS", 5)
    sides = (tf.ragged.constant([side], tf.int32) for side in ([5, 5], [5, 2, 3]))
    assert [group.numpy().tolist() for group in pair_up(*sides)] == [[0, 0], [0, 0, 0]]
