"""Opens the files of corpora, local or at gs:// and s3://, as decompressed streams. No other module opens them.

Files from the web are first downloaded by `pipelines.sources.downloads`. Remote stores are read with the fsspec backend
of the package epath. By default, epath would use its TensorFlow backend, which does not support S3 and takes seconds to
load.
"""

import os
import stat
import sys
import uuid
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from contextlib import contextmanager
from glob import has_magic
from itertools import chain
from pathlib import Path
from typing import IO, Any

from etils.epath import backend as epath_backend

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.sources.decompression import SUFFIXES, decompressed, explained_damage

COMPRESSIONS = ("", *SUFFIXES)
STDIN = "-"

_STORES = {"gs": "gcsfs", "s3": "s3fs"}  # the package for each scheme


@contextmanager
def open_stream(name: str) -> Iterator[IO[bytes]]:
    """Opens a file as a decompressed stream; "-" is standard input.

    Raises:
        DataError: The file cannot be read or is damaged. The error is raised on opening, or later while reading.
    """
    if name == STDIN:
        with explained_damage(display_name(name)):
            yield decompressed(display_name(name), sys.stdin.buffer)
        return
    with _explained(name), _backend(name).open(name, "rb") as file, decompressed(name, file) as stream:
        yield stream


def raw_lines(name: str) -> Iterator[bytes]:
    """Yields the lines of a file, without line ends (`\\n` or `\\r\\n`) and without a byte order mark.

    Raises:
        DataError: The file cannot be read, is damaged, or is in UTF-16.
    """
    with open_stream(name) as file:
        first = next(file, b"")
        for line in chain([_without_mark(name, first)] if first else [], file):
            yield line.removesuffix(b"\n").removesuffix(b"\r")


def read_parts(name: str, size: int) -> Iterator[bytes]:
    """Yields the lines of a file with their line ends, without a byte order mark.

    A line of more than `size` bytes is yielded in several parts. It is cut before a space, or else between two UTF-8
    characters.

    Raises:
        DataError: The file cannot be read, is damaged, or is in UTF-16.
    """
    rest, is_first = b"", True
    with open_stream(name) as file:
        while line := file.readline(size - len(rest)):
            is_cut = len(rest) + len(line) == size and not line.endswith(b"\n")
            part = rest + (_without_mark(name, line) if is_first else line)
            end = _last_cut(part) if is_cut else len(part)
            yield part[:end]
            rest, is_first = part[end:], False
    if rest:
        yield rest


def _last_cut(part: bytes) -> int:
    """Returns the last index in a part of a line at which it may be cut. What follows is more than a line end."""
    if (space := part.rfind(b" ")) > 0:
        return space
    # The last character may be incomplete. UTF-8 has at most four bytes; other bytes are cut anywhere.
    last = range(len(part) - 1, max(0, len(part) - 5), -1)
    begins = (i for i in last if part[i] & 0xC0 != 0x80 and part[i : i + 1] != b"\r")
    return next(begins, len(part))


def _without_mark(name: str, first: bytes) -> bytes:
    """Returns the first line of a file without a byte order mark; raises a `DataError` if it is in UTF-16."""
    if first.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise DataError(f"{display_name(name)} is in UTF-16; make it UTF-8, as iconv -f UTF-16 -t UTF-8 does")
    return first.removeprefix(BOM_UTF8)


def display_name(name: str) -> str:
    """Returns the name of a file for messages."""
    return "standard input" if name == STDIN else name


def check_is_text(name: str) -> None:
    """Raises a `DataError` if a local file cannot be opened or is not text. Pipes and remote files are not opened."""
    if _is_remote(name) or name == STDIN:
        return
    with _explained(name):
        is_regular = stat.S_ISREG(os.stat(name).st_mode)
    if is_regular:
        with open_stream(name):
            pass


def is_file(name: str) -> bool:
    """Returns True if the file exists."""
    if name == STDIN:
        return True
    with _explained(name):
        backend = _backend(name)
        return backend.exists(name) and not backend.isdir(name)


def matches(pattern: str) -> list[str]:
    """Returns the files that match a pattern, sorted. If `pattern` is the name of a file, returns only this file."""
    if not has_magic(pattern) or is_file(pattern):
        return [pattern] if is_file(pattern) else []
    with _explained(pattern):
        return sorted(name for name in _backend(pattern).glob(pattern) if is_file(name))


def describe(name: str) -> dict[str, Any]:
    """Returns the full path and the size of a file, for descriptions that people read."""
    if name == STDIN:
        return {"path": STDIN}
    path = name if _is_remote(name) else str(Path(name).resolve())
    with _explained(name):
        return {"path": path, "bytes": _backend(name).stat(name).length}


def identify(name: str) -> list[Any]:
    """Returns values that change when the file changes, without reading the file.

    For standard input, each call returns different values.
    """
    if name == STDIN:
        return [STDIN, uuid.uuid4().hex]
    with _explained(name):
        if _is_remote(name):
            return [name, _backend(name).fs(name).ukey(name)]
        facts = os.stat(name)
        return [str(Path(name).resolve()), facts.st_size, facts.st_mtime_ns]


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def _is_remote(name: str) -> bool:
    return "://" in name


def _backend(name: str) -> Any:
    if not _is_remote(name):
        return epath_backend.os_backend
    if name.partition("://")[0] not in _STORES:
        raise DataError(
            f"cannot open {name}; expected a local path, {', '.join(f'{s}://' for s in _STORES)} or https://"
        )
    return epath_backend.fsspec_backend


@contextmanager
def _explained(name: str) -> Iterator[None]:
    try:
        with explained_damage(name):
            yield
    except DataError:
        raise
    except OSError as error:
        raise DataError(f"cannot read {name}: {error.strerror or first_line(error)}") from error
    except Exception as error:
        if not _is_remote(name):
            raise
        raise _store_error(name, error) from error


def _store_error(name: str, error: Exception) -> DataError:
    scheme = name.partition("://")[0]
    if isinstance(error, ImportError):
        return DataError(f"cannot open {name}: {scheme}:// needs another package; run: pip install {_STORES[scheme]}")
    return DataError(f"cannot read {name} ({first_line(error)}); check the name and your credentials for {scheme}://")
