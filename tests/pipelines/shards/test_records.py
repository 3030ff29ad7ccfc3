"""Records have the same bytes as those that TensorFlow writes."""

from pathlib import Path

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_nmt.pipelines.shards.records import framed, record

IDS = st.lists(st.integers(0, 2**31 - 1), max_size=20)


@settings(max_examples=50, deadline=None)
@given(source=IDS, target=IDS)
def test_a_record_equals_the_example_that_tensorflow_serialises(source: list[int], target: list[int]) -> None:
    example = tf.train.Example()
    example.features.feature["source"].int64_list.value.extend(source)
    example.features.feature["target"].int64_list.value.extend(target)
    assert record(source, target) == framed(example.SerializeToString(deterministic=True))


def test_a_file_of_records_equals_the_one_that_tensorflow_writes(tmp_path: Path) -> None:
    data = [b"", b"one", bytes(range(256)) * 10]
    with tf.io.TFRecordWriter(str(tmp_path / "theirs")) as writer:
        for one in data:
            writer.write(one)
    assert b"".join(map(framed, data)) == (tmp_path / "theirs").read_bytes()
