"""Reads and writes the intermediate files of a preparation. Each file is either complete or absent."""

import io
import json
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from keras_nmt.pipelines.atomic_files import write_atomically
from keras_nmt.pipelines.cleaning.filters import TextPair


def write_array(path: Path, array: NDArray[Any]) -> None:
    """Writes an array in NumPy's format."""
    buffer = io.BytesIO()  # `np.save` hides the reason when the disk is full
    np.save(buffer, array)
    write_atomically(path, buffer.getvalue())


def write_json(path: Path, contents: Any) -> None:
    """Writes `contents` as JSON. Bytes that are not UTF-8, as in some file names, are written as escape sequences."""
    write_atomically(path, json.dumps(contents, ensure_ascii=False).encode("utf-8", errors="backslashreplace"))


def write_pairs(path: Path, pairs: Sequence[TextPair]) -> None:
    """Writes pairs as JSON, since running text contains tabs and line ends."""
    write_atomically(path, _compress(json.dumps(list(pairs), ensure_ascii=False).encode()))


def read_pairs(path: Path) -> list[TextPair]:
    """Returns the pairs that `write_pairs` wrote."""
    return [(source, target) for source, target in json.loads(_decompress(path.read_bytes()))]


def write_object(path: Path, value: object) -> None:
    """Writes an object, which must be picklable."""
    write_atomically(path, _compress(pickle.dumps(value)))


def read_object(path: Path) -> Any:
    """Returns the object that `write_object` wrote."""
    return pickle.loads(_decompress(path.read_bytes()))


def _compress(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1).compress(content)


def _decompress(content: bytes) -> bytes:
    return zstandard.ZstdDecompressor().decompress(content)
