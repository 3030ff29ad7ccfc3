"""Reads lines of text from files and pipes, and replaces files.

Only "\\n" ends a line, so that line numbers agree between a text and its translation.
"""

import os
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.console import say
from keras_nmt.pipelines.atomic_files import atomic_path


def read_lines(path: Path) -> list[str]:
    """Returns all lines of a file, or of stdin if the path is "-".

    Raises:
        UserError: The file cannot be read.
    """
    return list(stream_lines(path))


def check_readable(path: Path) -> None:
    """Checks, before long work, that a file exists. Does not open it, because a pipe can be read only once.

    Raises:
        UserError: There is no such file, or it is a folder.
    """
    if str(path) != "-" and (path.is_dir() or not path.exists()):
        raise UserError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'there is no such file'}")


def stream_lines(path: Path) -> Iterator[str]:
    """Yields the lines of a file, or of stdin if the path is "-", without line ends and byte order mark.

    Text compressed by gzip, xz, zstd or bzip2 is decompressed, even if the file's name does not show the compression.
    Bytes that are not UTF-8 become U+FFFD. A message on stderr says how many lines have such bytes, and which line is
    the first.

    Raises:
        UserError: The file cannot be read.
        DataError: The file is damaged compressed text, or an archive.
    """
    if str(path) == "-":
        yield from _decoded(sys.stdin.buffer, "standard input")
        return
    try:
        file = path.open("rb")
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or 'error').lower()}") from error
    with file:
        yield from _decoded(file, str(path))


def replace_file(path: Path, content: str | bytes) -> None:
    """Replaces a file atomically: readers see the old or the new content. Only one process may write it at a time.

    Raises:
        OSError: The file cannot be written; the error names `path`.
    """
    try:
        with atomic_path(path, temporary=partial_path(path)) as temporary, temporary.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def partial_path(path: Path) -> Path:
    """Returns the temporary path that `replace_file` writes to, for the file `path`."""
    return path.with_name(f".{path.name}.partial")


def _decoded(file: IO[bytes], name: str) -> Iterator[str]:
    from keras_nmt.pipelines.sources.decompression import decompressed, explained_damage

    damaged: list[int] = []
    with explained_damage(name):
        yield from _text_lines(decompressed(name, file), damaged)
    if damaged:
        say(f"{name}: {len(damaged)} line(s) are not UTF-8, the first is line {damaged[0]}; replaced invalid bytes")


def _text_lines(file: IO[bytes], damaged: list[int]) -> Iterator[str]:
    """Yields the lines, and appends the number of each line that is not UTF-8 to `damaged`."""
    for number, ended in enumerate(file, start=1):
        line = ended.removesuffix(b"\n").removesuffix(b"\r")
        line = line.removeprefix(BOM_UTF8) if number == 1 else line
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            damaged.append(number)
            yield line.decode("utf-8", "replace")
