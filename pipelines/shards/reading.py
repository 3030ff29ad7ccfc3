"""Reads shards, which are TFRecord files of token ids, and the files beside each shard.

A record is a `tf.train.Example` with the int64 lists `source` and `target`, each ending in EOS. A file beside the shard
has the lengths of its pairs (int32 [N, 2], source and target, EOS included), so that batches are planned without
reading tokens. If corpora are mixed, a second file beside the shard has the index of each pair's corpus (uint8 [N]). If
the pairs have loss weights, another file beside the shard has the weight of each pair (float32 [N]).
"""

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.shards.buckets import Lengths
from keras_nmt.pipelines.shards.lanes import LANES, ONLY_HOST, Host, lane_count
from keras_nmt.pipelines.shards.manifest import PREPARE_AGAIN, Manifest, sha256_of
from keras_nmt.pipelines.shards.record_parsing import parse_records
from keras_nmt.pipelines.shards.splits import Shard

AnyIds = NDArray[np.integer[Any]]
Corpora = NDArray[np.uint8]
LossWeights = NDArray[np.float32]
_Kind = TypeVar("_Kind", np.int32, np.uint8, np.float32)
_MANY = 1 << 16  # ids of smaller vocabularies fit in two bytes
_READERS = 2  # threads; they run in parallel, since NumPy releases the global interpreter lock most of the time


class TokenizedPairs(NamedTuple):
    """The token ids of N pairs.

    Attributes:
        values: Two arrays: the ids of all sources, concatenated, and the ids of all targets, concatenated.
        lengths: int32 [N, 2], the length of each source and target.
        starts: int64 [N, 2], the index where each source and target begins in its array of `values`.
    """

    values: tuple[AnyIds, AnyIds]
    lengths: Lengths
    starts: NDArray[np.int64]


def verify_shards(manifest: Manifest, host: Host = ONLY_HOST) -> None:
    """Verifies the checksums of the shards that one machine reads; by default, of all shards.

    Raises:
        DataError: A shard is corrupt; the message names the shard.
    """
    for split in manifest.splits.values():
        lanes = lane_count(len(split.shards), most=LANES)
        for i, shard in enumerate(split.shards):
            path = manifest.data_dir / shard.file
            if host.reads(i % lanes, lanes) and sha256_of(path) != shard.sha256:
                raise DataError(f"{path} is corrupt: its checksum is not that of the manifest; {PREPARE_AGAIN}")


def read_lengths(data_dir: Path, shards: Sequence[Shard]) -> Lengths:
    """Returns the lengths of all pairs of the shards, int32 [N, 2]: source and target, EOS included."""
    return np.concatenate([_read_lengths(data_dir, shard) for shard in shards])


def read_corpora(data_dir: Path, shards: Sequence[Shard]) -> Corpora:
    """Returns the corpus of each pair of the shards, as its index in `Split.corpora`, uint8 [N]."""
    return np.concatenate([_read_beside(data_dir / s.corpus_file, np.uint8, (s.examples,)) for s in shards])


def read_weights(data_dir: Path, shards: Sequence[Shard]) -> LossWeights:
    """Returns the loss weights of all pairs of the shards, float32 [N]."""
    return np.concatenate([_read_beside(data_dir / s.weights_file, np.float32, (s.examples,)) for s in shards])


def read_tokens(data_dir: Path, shards: Sequence[Shard], *, vocabulary_size: int = _MANY) -> TokenizedPairs:
    """Returns the token ids of all pairs of the shards, as uint16 if the vocabulary is small enough, else as int32.

    Raises:
        DataError: A shard cannot be read or does not match the manifest; the message names the shard.
    """
    lengths = read_lengths(data_dir, shards)
    source_tokens, target_tokens = lengths.sum(axis=0, dtype=np.int64)
    kind = np.uint16 if vocabulary_size < _MANY else np.int32
    values = (np.empty(source_tokens, kind), np.empty(target_tokens, kind))
    ends = np.cumsum([shard.examples for shard in shards])
    filled = [0, 0]
    with ThreadPoolExecutor(_READERS) as readers:
        paths = (data_dir / shard.file for shard in shards)
        for parts in readers.map(_read_shard, paths, shards, np.split(lengths, ends[:-1])):
            for side in (0, 1):
                values[side][filled[side] : filled[side] + len(parts[side])] = parts[side]
                filled[side] += len(parts[side])
    return TokenizedPairs(values, lengths, np.cumsum(lengths, axis=0, dtype=np.int64) - lengths)


@contextmanager
def reporting_data_errors() -> Iterator[None]:
    """Converts an error of tf.data to the `DataError` that caused it; raises other errors unchanged."""
    marker = f"{DataError.__name__}: "
    try:
        yield
    except tf.errors.OpError as error:
        found = [line for line in str(error.message).splitlines() if marker in line]
        if not found:
            raise
        raise DataError(found[0].partition(marker)[2].strip()) from error


def _read_lengths(data_dir: Path, shard: Shard) -> Lengths:
    return _read_beside(data_dir / shard.lengths_file, np.int32, (shard.examples, 2))


def _read_beside(path: Path, kind: type[_Kind], shape: tuple[int, ...]) -> NDArray[_Kind]:
    try:
        array = _load_array(path, np.dtype(kind), shape[1:])
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}); {PREPARE_AGAIN}") from error
    if array.shape != shape:
        raise DataError(f"{path} has shape {array.shape}, expected {shape}; {PREPARE_AGAIN}")
    return array


def _load_array(path: Path, kind: np.dtype[_Kind], columns: tuple[int, ...]) -> NDArray[_Kind]:
    """Returns the array that `np.save` wrote, [N, *columns]. Does not use `np.load`, which calls Python's parser.

    In versions of Python before 3.11.8 and 3.12.2, two threads must not use this parser at the same time
    (python/cpython#106905). But while one thread reads shards, another thread may run TensorFlow's autograph, which
    uses the parser.
    """
    content = path.read_bytes()
    if content[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("it is not a NumPy array")
    start = 10 + int.from_bytes(content[8:10], "little")
    if f"'{kind.str}'".encode() not in content[:start]:
        raise ValueError(f"it is not an array of {kind}")
    return np.frombuffer(content, kind, offset=start).reshape(-1, *columns)


def _read_shard(path: Path, shard: Shard, lengths: Lengths) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Returns the source ids and the target ids of a shard, given the lengths of its pairs."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error}); {PREPARE_AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        raise DataError(f"{path} is corrupt or cut short; {PREPARE_AGAIN}")
    try:
        return parse_records(content, lengths)
    except ValueError as error:  # batches that are planned from wrong lengths would cut off tokens
        raise DataError(f"{path} does not hold what the manifest says: {error}; {PREPARE_AGAIN}") from error
