"""Prepared data on disk: TFRecord shards of token ids, with lengths beside them.

One record is one `tf.train.Example` with the int64 lists `source` and `target`, each ending in EOS. The lengths beside
a shard (int32 [N, 2], source and target, EOS counted) let a reader plan batches without reading a token. Where corpora
are mixed, and where pairs have loss weights, the number of each pair's corpus (uint8 [N]) and the weights (float32 [N])
lie beside it too.
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

from pipelines.errors import DataError
from pipelines.shards.buckets import Lengths
from pipelines.shards.lanes import LANES, ONLY_HOST, Host, lanes_of
from pipelines.shards.manifest import PREPARE_AGAIN, Manifest, Shard, sha256_of
from pipelines.shards.record_parsing import parse_records

Ids = NDArray[np.integer[Any]]
Corpora = NDArray[np.uint8]
Weights = NDArray[np.float32]
_Kind = TypeVar("_Kind", np.int32, np.uint8, np.float32)
_MANY = 1 << 16  # pieces; ids of fewer take two bytes
_READERS = 2  # threads; NumPy keeps Python's lock for a small part of the time only


class Tokens(NamedTuple):
    """The token ids of N pairs, source and target, each side's ids in one flat array."""

    values: tuple[Ids, Ids]  # [sum of lengths] each
    lengths: Lengths  # [N, 2]
    starts: NDArray[np.int64]  # [N, 2]: where in its flat array a row begins


def verify_shards(manifest: Manifest, host: Host = ONLY_HOST) -> None:
    """Reads every shard, or those of a machine's lanes, and compares its checksum.

    Raises:
        DataError: naming the first shard that is not what was written.
    """
    for split in manifest.splits.values():
        lanes = lanes_of(len(split.shards), most=LANES)
        for i, shard in enumerate(split.shards):
            path = manifest.data_dir / shard.file
            if host.reads(i % lanes, lanes) and sha256_of(path) != shard.sha256:
                raise DataError(f"{path} is corrupt: its checksum is not that of the manifest; {PREPARE_AGAIN}")


def read_lengths(data_dir: Path, shards: Sequence[Shard]) -> Lengths:
    """Gives the lengths of all pairs of the shards, in order, as int32 [N, 2]: source and target, EOS counted."""
    return np.concatenate([_read_lengths(data_dir, shard) for shard in shards])


def read_corpora(data_dir: Path, shards: Sequence[Shard]) -> Corpora:
    """Gives which corpus each pair of the shards is of, in order, as uint8 [N]."""
    return np.concatenate([_read_beside(data_dir / s.corpus_file, np.uint8, (s.examples,)) for s in shards])


def read_weights(data_dir: Path, shards: Sequence[Shard]) -> Weights:
    """Gives the loss weights of all pairs of the shards, in order, as float32 [N]."""
    return np.concatenate([_read_beside(data_dir / s.weights_file, np.float32, (s.examples,)) for s in shards])


def read_tokens(data_dir: Path, shards: Sequence[Shard], *, vocabulary_size: int = _MANY) -> Tokens:
    """Gives the token ids of all pairs of the shards, in order, in half the memory if they are of a small vocabulary.

    Raises:
        DataError: naming the shard that cannot be read or does not hold what the manifest says.
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
    return Tokens(values, lengths, np.cumsum(lengths, axis=0, dtype=np.int64) - lengths)


@contextmanager
def reporting_data_errors() -> Iterator[None]:
    """Turns a `DataError` that tf.data has wrapped in an error of its own back into a `DataError`."""
    marker = f"{DataError.__name__}: "
    try:
        yield
    except tf.errors.OpError as error:
        found = [line for line in str(error.message).splitlines() if marker in line]
        if not found:
            raise
        raise DataError(found[0].partition(marker)[2].strip()) from error


# Reading


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
    """Gives what `np.save` wrote, [N, *columns], without `np.load`, which has Python parse the header.

    Two threads must not parse at once before Python 3.11.8 and 3.12.2 (python/cpython#106905), and while a stream reads
    ahead in one, TensorFlow's autograph parses in another.
    """
    content = path.read_bytes()
    if content[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("it is no NumPy array")
    start = 10 + int.from_bytes(content[8:10], "little")
    if f"'{kind.str}'".encode() not in content[:start]:
        raise ValueError(f"it is no array of {kind}")
    return np.frombuffer(content, kind, offset=start).reshape(-1, *columns)


def _read_shard(path: Path, shard: Shard, lengths: Lengths) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Gives the source ids and the target ids of a shard whose lists have these lengths."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot read {path} ({error}); {PREPARE_AGAIN}") from error
    if hashlib.sha256(content).hexdigest() != shard.sha256:
        raise DataError(f"{path} is corrupt or cut short; {PREPARE_AGAIN}")
    try:
        return parse_records(content, lengths)
    except ValueError as error:  # that batches were planned from other lengths would cut rows
        raise DataError(f"{path} does not hold what the manifest says: {error}; {PREPARE_AGAIN}") from error
