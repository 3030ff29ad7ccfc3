"""Writes TFRecords of `tf.train.Example` without TensorFlow, which would take too much memory in each worker process.

The records are framed as `tf.io.TFRecordWriter` frames them. The message type is that of
tensorflow/core/example/example.proto, but with int64 lists only.
"""

import hashlib
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import google_crc32c
import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from keras_nmt.pipelines.shards.splits import Shard

_FIELD = descriptor_pb2.FieldDescriptorProto
_MASK_DELTA = 0xA282EAD8  # from tensorflow/core/lib/hash/crc32c.h

IdPair = tuple[Sequence[int], Sequence[int]]


def write_shards(data_dir: Path, split: str, pairs: Sequence[IdPair], shards: int) -> tuple[Shard, ...]:
    """Writes the shards of a small split; pair i goes to shard i mod `shards`. The ids of each side must end in EOS."""
    names = [f"{split}-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
    return tuple(_write_shard(data_dir, name, pairs[i::shards]) for i, name in enumerate(names))


def length_histogram(data_dir: Path, shards: Sequence[Shard]) -> tuple[int, ...]:
    """Returns the number of pairs whose longer side has 0, 1, 2, ... tokens, for `Split.length_histogram`."""
    counts = np.zeros(0, np.int64)
    for shard in shards:
        longest = np.load(data_dir / shard.lengths_file).max(axis=1, initial=0)
        of_shard = np.bincount(longest, minlength=len(counts))
        of_shard[: len(counts)] += counts
        counts = of_shard
    return tuple(counts.tolist())


def record(source: Sequence[int], target: Sequence[int]) -> bytes:
    """Returns the record of a pair of ids: a framed `Example` with the int64 lists `source` and `target`."""
    example = _Example()
    example.features.feature["source"].int64_list.value.extend(source)
    example.features.feature["target"].int64_list.value.extend(target)
    return framed(example.SerializeToString(deterministic=True))


def framed(data: bytes) -> bytes:
    """Returns data framed as a TFRecord: the length and the data, each followed by a checksum."""
    length = struct.pack("<Q", len(data))
    return b"".join((length, _masked_crc(length), data, _masked_crc(data)))


def _write_shard(data_dir: Path, name: str, pairs: Sequence[IdPair]) -> Shard:
    data = b"".join(record(*pair) for pair in pairs)
    lengths = np.array([(len(source), len(target)) for source, target in pairs], np.int32).reshape(-1, 2)
    (data_dir / name).write_bytes(data)
    shard = Shard.of(name, lengths, size=len(data), sha256=hashlib.sha256(data).hexdigest())
    np.save(data_dir / shard.lengths_file, lengths)
    return shard


def _masked_crc(data: bytes) -> bytes:
    crc = google_crc32c.value(data)
    return struct.pack("<I", (((crc >> 15) | (crc << 17)) + _MASK_DELTA) & 0xFFFFFFFF)


def _example_class() -> Any:
    """Creates the message class in a pool of its own, since TensorFlow registers the same names in the default pool."""
    file = descriptor_pb2.FileDescriptorProto(name="example.proto", package="tensorflow", syntax="proto3")
    _message(file, "Int64List", ("value", 1, _FIELD.TYPE_INT64, ""), repeated=True)
    _message(file, "Feature", ("int64_list", 3, _FIELD.TYPE_MESSAGE, ".tensorflow.Int64List"))
    features = _message(
        file, "Features", ("feature", 1, _FIELD.TYPE_MESSAGE, ".tensorflow.Features.FeatureEntry"), repeated=True
    )
    entry = features.nested_type.add(name="FeatureEntry")
    entry.options.map_entry = True
    _field(entry, ("key", 1, _FIELD.TYPE_STRING, ""))
    _field(entry, ("value", 2, _FIELD.TYPE_MESSAGE, ".tensorflow.Feature"))
    _message(file, "Example", ("features", 1, _FIELD.TYPE_MESSAGE, ".tensorflow.Features"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.Example"))


def _message(file: Any, name: str, field: tuple[str, int, int, str], *, repeated: bool = False) -> Any:
    message = file.message_type.add(name=name)
    _field(message, field, repeated=repeated)
    return message


def _field(message: Any, field: tuple[str, int, int, str], *, repeated: bool = False) -> None:
    name, number, kind, type_name = field
    label = _FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
    message.field.add(name=name, number=number, type=kind, type_name=type_name or None, label=label)


_Example = _example_class()
