"""The files that jobs on chunks leave: each is written aside and renamed, so that it is whole or not there."""

import io
import json
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

TextPair = tuple[str, str]


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """Gives a path beside `path` that is renamed to it when all is written; two workers may do the same."""
    beside = path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    yield beside
    beside.rename(path)


def save(path: Path, array: NDArray[Any]) -> None:
    """Writes an array as `np.save` does."""
    buffer = io.BytesIO()  # as `np.save` does not say why it cannot write to a full disk
    np.save(buffer, array)
    with aside(path) as beside:
        beside.write_bytes(buffer.getbuffer())


def write_json(path: Path, contents: Any) -> None:
    """Writes what JSON can hold."""
    with aside(path) as beside:
        # What is not UTF-8 in the name of a file becomes an escape of JSON.
        beside.write_text(json.dumps(contents, ensure_ascii=False), encoding="utf-8", errors="backslashreplace")


def write_text(path: Path, pairs: Sequence[TextPair]) -> None:
    """Writes pairs, one a line; clean text holds neither tabs nor line ends."""
    text = "".join(f"{source}\t{target}\n" for source, target in pairs)
    with aside(path) as beside:
        beside.write_bytes(zstandard.ZstdCompressor(level=1).compress(text.encode()))


def read_text(path: Path) -> list[TextPair]:
    """Gives what `write_text` wrote."""
    text = zstandard.ZstdDecompressor().decompress(path.read_bytes()).decode()
    lines = (line.partition("\t") for line in text.split("\n")[:-1])
    return [(source, target) for source, _, target in lines]
