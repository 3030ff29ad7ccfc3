"""Parsing returns the ids that were written, like TensorFlow's own parser."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from keras_nmt.pipelines.shards.record_parsing import parse_records

IDS = st.lists(st.one_of(st.integers(0, 300), st.integers(0, 2**31 - 1)), min_size=1, max_size=200)
PAIRS = st.lists(st.tuples(IDS, IDS), max_size=8)
Pairs = list[tuple[list[int], list[int]]]


def written(path: Path, pairs: Pairs) -> bytes:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for source, target in pairs:
            example = tf.train.Example()
            example.features.feature["source"].int64_list.value.extend(source)
            example.features.feature["target"].int64_list.value.extend(target)
            writer.write(example.SerializeToString(deterministic=True))
    return path.read_bytes()


def lengths_of(pairs: Pairs) -> NDArray[np.int32]:
    return np.array([[len(side) for side in pair] for pair in pairs], np.int32).reshape(-1, 2)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("records") / "shard.tfrecord"


@settings(deadline=None)
@given(PAIRS)
def test_the_ids_that_were_written_are_found(path: Path, pairs: Pairs) -> None:
    source, target = parse_records(written(path, pairs), lengths_of(pairs))
    assert source.tolist() == [id_ for pair in pairs for id_ in pair[0]]
    assert target.tolist() == [id_ for pair in pairs for id_ in pair[1]]
    assert source.dtype == target.dtype == np.int32


@settings(deadline=None)
@given(PAIRS.filter(len))
def test_tensorflow_parses_the_same_ids(path: Path, pairs: Pairs) -> None:
    source, target = parse_records(written(path, pairs), lengths_of(pairs))
    feature = tf.io.RaggedFeature(tf.int64)
    records = next(iter(tf.data.TFRecordDataset(str(path)).batch(len(pairs))))
    parsed = tf.io.parse_example(records, {"source": feature, "target": feature})
    assert np.array_equal(parsed["source"].values, source)
    assert np.array_equal(parsed["target"].values, target)


def test_the_worked_example_of_the_module_is_true(path: Path) -> None:
    source = bytes.fromhex("0a26 0a12 0a06") + b"source" + bytes.fromhex("1208 1a06 0a04 07ac0203")
    target = bytes.fromhex("0a10 0a06") + b"target" + bytes.fromhex("1206 1a04 0a02 0903")
    content = written(path, [([7, 300, 3], [9, 3])])
    assert content[12:-4] == source + target
    assert [ids.tolist() for ids in parse_records(content, np.array([[3, 2]], np.int32))] == [[7, 300, 3], [9, 3]]


def test_a_list_may_contain_bytes_that_look_like_a_record(path: Path) -> None:
    header = [*b"\x0a\x06source\x12\x06\x1a\x04\x0a\x02"]
    pairs = [(header, [3]), ([3], header * 3)]
    source, target = parse_records(written(path, pairs), lengths_of(pairs))
    assert source.tolist() == [*header, 3]
    assert target.tolist() == [3, *header * 3]


def test_wrong_lengths_are_detected(path: Path) -> None:
    content = written(path, [([5, 300, 3], [6, 3]), ([7, 3], [8, 9, 3])])
    for lengths in ([[2, 2], [3, 3]], [[3, 3], [2, 3]], [[3, 2], [2, 2]]):
        with pytest.raises(ValueError, match="a list has another length than the one beside the shard"):
            parse_records(content, np.array(lengths, np.int32))
    with pytest.raises(ValueError, match="it has 2 records, not 1"):
        parse_records(content, np.array([[3, 2]], np.int32))


@pytest.mark.parametrize("cut", [1, 5, 20])
def test_a_truncated_record_is_detected(path: Path, cut: int) -> None:
    pairs: Pairs = [([5, 300, 3], [6, 3])]
    with pytest.raises(ValueError, match="the last record is cut short"):
        parse_records(written(path, pairs)[:-cut], lengths_of(pairs))


def test_another_message_is_detected(path: Path) -> None:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for data in (b"", b"no example at all, but bytes", bytes(range(255, 100, -1))):
            writer.write(data)
    with pytest.raises(ValueError, match=r"list|record"):
        parse_records(path.read_bytes(), np.full((3, 2), 2, np.int32))
