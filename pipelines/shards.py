"""Prepared data on disk: TFRecord shards of token ids, a manifest that says what they are, the vocabulary beside it.

    DATA/manifest.json  vocabulary.model  train-00000-of-00008.tfrecord  train-00000-of-00008.lengths.npy  ...
    DATA/dev-00000-of-00001.tfrecord ...  dev.en  dev.de

One record is one `tf.train.Example` with the int64 lists `source` and `target`, each ending in EOS. The lengths beside
a shard (int32 [N, 2], source and target, EOS counted) let a reader plan batches without reading a token.
"""

import hashlib
import json
from array import array
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from pipelines.corpora import LanguagePair
from pipelines.errors import DataError
from pipelines.vocabulary import Vocabulary

FORMAT = 1
MANIFEST = "manifest.json"
VOCABULARY = "vocabulary.model"
_READ_BUFFER_BYTES = 1 << 20
_PREPARE_AGAIN = "run nmt prepare again"

Lengths = NDArray[np.int32]


class Tokens(NamedTuple):
    """The token ids of N pairs, source and target, each side's ids in one flat array."""

    values: tuple[NDArray[np.int32], NDArray[np.int32]]  # [sum of lengths] each
    lengths: Lengths  # [N, 2]
    starts: NDArray[np.int64]  # [N, 2]: where in its flat array a row begins


@dataclass(frozen=True)
class Shard:
    """What the manifest says of one shard; lengths and counts include EOS."""

    file: str
    examples: int
    source_tokens: int
    target_tokens: int
    longest_source: int
    longest_target: int
    bytes: int
    sha256: str

    @property
    def lengths_file(self) -> str:
        """The name of the file of lengths beside the shard."""
        return self.file.removesuffix(".tfrecord") + ".lengths.npy"


@dataclass(frozen=True)
class Split:
    """What the manifest says of the training or the dev data.

    `length_histogram[n]` is the number of pairs whose longer side has n tokens. `text` names the raw text of source and
    target, kept of the dev data because BLEU needs it.
    """

    shards: tuple[Shard, ...]
    length_histogram: tuple[int, ...]
    cleaning: dict[str, Any]
    origins: tuple[dict[str, Any], ...]
    text: tuple[str, str] | None = None

    @property
    def examples(self) -> int:
        """The number of pairs in all shards."""
        return sum(shard.examples for shard in self.shards)

    def longer_than(self, length: int) -> int:
        """Gives the number of pairs with more than `length` tokens on a side: those a stream of that length skips."""
        return sum(self.length_histogram[length + 1 :])


@dataclass(frozen=True)
class Manifest:
    """The contents of a prepared data directory."""

    data_dir: Path
    pair: LanguagePair
    vocabulary_size: int
    vocabulary_digest: str
    splits: dict[str, Split]
    options: dict[str, Any]
    versions: dict[str, str]

    @classmethod
    def load(cls, data_dir: str | Path) -> "Manifest":
        """Reads the manifest and checks that what it names is there, without reading a shard.

        Raises:
            DataError: if the directory is not prepared data, is unfinished, of another format, misses a file, or holds
                another vocabulary than the data was encoded with.
        """
        data_dir = Path(data_dir)
        manifest = _parse(_read_manifest(data_dir), data_dir)
        _check_vocabulary(manifest)
        _check_files(manifest)
        return manifest

    def save(self) -> None:
        """Writes `manifest.json`; last of all files, as it makes the directory a prepared one."""
        contents = {
            "format": FORMAT,
            "pair": asdict(self.pair),
            "vocabulary": {"file": VOCABULARY, "size": self.vocabulary_size, "digest": self.vocabulary_digest},
            "splits": {name: asdict(split) for name, split in self.splits.items()},
            "options": self.options,
            "versions": self.versions,
        }
        text = json.dumps(contents, indent=1, ensure_ascii=False) + "\n"
        (self.data_dir / MANIFEST).write_text(text, encoding="utf-8")

    def split(self, name: str) -> Split:
        """Gives one split; `DataError` if the data has no such one."""
        if name not in self.splits:
            raise DataError(f"{self.data_dir} has no split {name!r}; it has {', '.join(self.splits)}")
        return self.splits[name]

    def vocabulary(self) -> Vocabulary:
        """Loads the vocabulary the data was encoded with."""
        return Vocabulary.load(self.data_dir / VOCABULARY)

    def text(self, split: str = "dev") -> tuple[Path, Path]:
        """Gives the files of the raw source and target text of a split that keeps them."""
        names = self.split(split).text
        if names is None:
            raise DataError(f"{self.data_dir} keeps no raw text of split {split!r}; use dev")
        return self.data_dir / names[0], self.data_dir / names[1]


def verify_shards(manifest: Manifest) -> None:
    """Reads every shard and compares its checksum.

    Raises:
        DataError: naming the first shard that is not what was written.
    """
    for split in manifest.splits.values():
        for shard in split.shards:
            path = manifest.data_dir / shard.file
            if sha256_of(path) != shard.sha256:
                raise DataError(f"{path} is corrupt: its checksum is not that of the manifest; {_PREPARE_AGAIN}")


def read_lengths(data_dir: Path, shards: Sequence[Shard]) -> Lengths:
    """Gives the lengths of all pairs of the shards, in order, as int32 [N, 2]: source and target, EOS counted."""
    return np.concatenate([_read_lengths(data_dir, shard) for shard in shards])


def read_tokens(data_dir: Path, shards: Sequence[Shard]) -> Tokens:
    """Gives the token ids of all pairs of the shards, in order.

    Raises:
        DataError: naming the shard that cannot be read or does not hold what the manifest says.
    """
    parts = [_read_shard(data_dir / shard.file, shard) for shard in shards]
    source, target, lengths = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Tokens((source, target), lengths, np.cumsum(lengths, axis=0, dtype=np.int64) - lengths)


class ShardWriter:
    """Writes the shards of one split, dealing the pairs to them at random but evenly.

    Each run of as many pairs as there are shards is dealt one to a shard in an order drawn from `seed`, so no shard is
    a stretch of one corpus and sizes differ by one at most. Use as a context manager.
    """

    def __init__(self, data_dir: Path, split: str, shards: int, seed: int) -> None:
        self._data_dir = data_dir
        self._files = [f"{split}-{i:05d}-of-{shards:05d}.tfrecord" for i in range(shards)]
        self._lengths = [array("i") for _ in self._files]  # source, target, source, ...: 8 bytes a pair
        self._deal = _deal(shards, seed)
        self._stack = ExitStack()

    def __enter__(self) -> "ShardWriter":
        paths = [str(self._data_dir / file) for file in self._files]
        self._writers = [self._stack.enter_context(tf.io.TFRecordWriter(path)) for path in paths]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.__exit__(kind, error, trace)

    def write(self, source: list[int], target: list[int]) -> None:
        """Writes one pair; both sides end in EOS already."""
        index = next(self._deal)
        example = tf.train.Example()
        example.features.feature["source"].int64_list.value.extend(source)
        example.features.feature["target"].int64_list.value.extend(target)
        self._writers[index].write(example.SerializeToString(deterministic=True))
        self._lengths[index].extend((len(source), len(target)))

    def finish(self) -> tuple[tuple[Shard, ...], tuple[int, ...]]:
        """Closes the files and gives the shards and the length histogram for the manifest."""
        self._stack.close()
        lengths = [np.array(pairs, dtype=np.int32).reshape(-1, 2) for pairs in self._lengths]
        longest = np.concatenate([rows.max(axis=1) for rows in lengths])
        return tuple(map(self._describe, self._files, lengths)), tuple(np.bincount(longest).tolist())

    def _describe(self, file: str, lengths: Lengths) -> Shard:
        path = self._data_dir / file
        source_tokens, target_tokens = lengths.sum(axis=0, dtype=np.int64).tolist()
        longest_source, longest_target = lengths.max(axis=0, initial=0).tolist()
        counts = (len(lengths), source_tokens, target_tokens, longest_source, longest_target)
        shard = Shard(file, *counts, bytes=path.stat().st_size, sha256=sha256_of(path))
        np.save(self._data_dir / shard.lengths_file, lengths)
        return shard


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


def _deal(shards: int, seed: int) -> Iterator[int]:
    random = np.random.Generator(np.random.PCG64(seed))
    while True:
        yield from random.permutation(shards).tolist()


# Reading


def _read_manifest(data_dir: Path) -> dict[str, Any]:
    path = data_dir / MANIFEST
    if not data_dir.is_dir():
        raise DataError(f"{data_dir} is not a prepared data directory: there is no such directory; run nmt prepare")
    if not path.is_file():
        raise DataError(
            f"{data_dir} has no {MANIFEST}: nmt prepare was interrupted or this is not its output; {_PREPARE_AGAIN}"
        )
    try:
        contents = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise DataError(f"{path} is damaged ({error}); {_PREPARE_AGAIN}") from error
    if not isinstance(contents, dict) or "format" not in contents:
        raise DataError(f"{path} is not a manifest of prepared data; give the --out of nmt prepare")
    if contents["format"] != FORMAT:
        raise DataError(f"{path} has format {contents['format']}, this program reads {FORMAT}; {_PREPARE_AGAIN}")
    return contents


def _parse(contents: dict[str, Any], data_dir: Path) -> Manifest:
    try:
        return Manifest(
            data_dir=data_dir,
            pair=LanguagePair(**contents["pair"]),
            vocabulary_size=contents["vocabulary"]["size"],
            vocabulary_digest=contents["vocabulary"]["digest"],
            splits={name: _parse_split(split) for name, split in contents["splits"].items()},
            options=contents["options"],
            versions=contents["versions"],
        )
    except (KeyError, TypeError) as error:
        raise DataError(f"{data_dir / MANIFEST} is damaged (at {error}); {_PREPARE_AGAIN}") from error


def _parse_split(contents: dict[str, Any]) -> Split:
    return Split(
        shards=tuple(Shard(**shard) for shard in contents["shards"]),
        length_histogram=tuple(contents["length_histogram"]),
        cleaning=contents["cleaning"],
        origins=tuple(contents["origins"]),
        text=(contents["text"][0], contents["text"][1]) if contents["text"] else None,
    )


def _check_vocabulary(manifest: Manifest) -> None:
    path = manifest.data_dir / VOCABULARY
    if not path.is_file():
        raise DataError(f"{path} is missing; {_PREPARE_AGAIN}")
    found = sha256_of(path)
    if found != manifest.vocabulary_digest:
        raise DataError(
            f"{path} is the wrong vocabulary for this data: expected digest {manifest.vocabulary_digest[:12]}, found "
            f"{found[:12]}; put the right one back or {_PREPARE_AGAIN}"
        )


def _check_files(manifest: Manifest) -> None:
    for split in manifest.splits.values():
        for shard in split.shards:
            path = manifest.data_dir / shard.file
            for needed in (path, manifest.data_dir / shard.lengths_file):
                if not needed.is_file():
                    raise DataError(f"{needed} is missing; {_PREPARE_AGAIN}")
            if path.stat().st_size != shard.bytes:
                raise DataError(
                    f"{path} has {path.stat().st_size} bytes, expected {shard.bytes}: it is cut short or changed; "
                    f"{_PREPARE_AGAIN}"
                )


def _read_lengths(data_dir: Path, shard: Shard) -> Lengths:
    path = data_dir / shard.lengths_file
    try:
        lengths = _load_lengths(path)
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path} ({error}); {_PREPARE_AGAIN}") from error
    if lengths.shape != (shard.examples, 2):
        raise DataError(f"{path} has shape {lengths.shape}, expected {(shard.examples, 2)}; {_PREPARE_AGAIN}")
    return lengths


def _load_lengths(path: Path) -> Lengths:
    """Gives what `np.save` wrote, int32 [N, 2], without `np.load`, which has Python parse the header.

    Two threads must not parse at once before Python 3.11.8 and 3.12.2 (python/cpython#106905), and while a stream reads
    ahead in one, TensorFlow's autograph parses in another.
    """
    content = path.read_bytes()
    if content[:8] != b"\x93NUMPY\x01\x00":
        raise ValueError("it is no NumPy array")
    header_bytes = 10 + int.from_bytes(content[8:10], "little")
    return np.frombuffer(content, "<i4", offset=header_bytes).reshape(-1, 2)


def _read_shard(path: Path, shard: Shard) -> tuple[NDArray[np.int32], NDArray[np.int32], Lengths]:
    """Gives the source ids, the target ids and the lengths of a shard, parsed in one go."""
    if not shard.examples:
        return np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros((0, 2), np.int32)
    records = tf.data.TFRecordDataset(str(path), buffer_size=_READ_BUFFER_BYTES).batch(shard.examples)
    feature = tf.io.RaggedFeature(tf.int64, row_splits_dtype=tf.int64)
    try:
        parsed = tf.io.parse_example(next(iter(records)), {"source": feature, "target": feature})
    except (tf.errors.OpError, StopIteration) as error:
        raise DataError(f"{path} is corrupt or cut short; {_PREPARE_AGAIN}") from error
    source, target = (parsed[side].values.numpy().astype(np.int32) for side in ("source", "target"))
    lengths = np.stack([parsed[side].row_lengths().numpy() for side in ("source", "target")], axis=1)
    planned = _read_lengths(path.parent, shard)  # that a batch was planned from; others would cut its rows
    if (len(source), len(target)) != (shard.source_tokens, shard.target_tokens) or not np.array_equal(lengths, planned):
        raise DataError(f"{path} does not hold what the manifest says; {_PREPARE_AGAIN}")
    return source, target, lengths.astype(np.int32)


def sha256_of(path: Path) -> str:
    """Gives the SHA-256 of a file, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
