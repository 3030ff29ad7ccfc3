"""Lines of text from files and pipes. A line ends at "\\n" and nowhere else, so that line numbers agree everywhere."""

import os
import sys
from codecs import BOM_UTF8
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from app.errors import UserError
from app.runtime.console import say


def read_lines(path: Path) -> list[str]:
    """All lines of a file, or of stdin if the path is "-".

    Raises:
        UserError: The file cannot be read.
    """
    return list(stream_lines(path))


def check_readable(path: Path) -> None:
    """Says before long work that a file is not there; it is not opened, since a pipe can be read only once.

    Raises:
        UserError: There is no such file, or it is a folder.
    """
    if str(path) != "-" and (path.is_dir() or not path.exists()):
        raise UserError(f"cannot read {path}: {'it is a folder' if path.is_dir() else 'there is no such file'}")


def stream_lines(path: Path) -> Iterator[str]:
    """The lines of a file, or of stdin if the path is "-", as they come; without their ends and a byte order mark.

    What is compressed by gzip, xz, zstd or bzip2 is decompressed, whatever its name. Bytes that are not UTF-8 become
    U+FFFD, and a line on stderr says where the first was.

    Raises:
        UserError: The file cannot be read.
        DataError: It is compressed and damaged, or an archive.
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
    """Writes a file aside and renames it: whoever reads it, and whatever breaks off, it is the old one or the new.

    Raises:
        OSError: It cannot be written; the error names `path`.
    """
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content.encode("utf-8") if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise OSError(error.errno, error.strerror, str(path)) from error


def _decoded(file: IO[bytes], name: str) -> Iterator[str]:
    from pipelines.sources.decompression import decompressed, explained_damage

    damaged: list[int] = []
    with explained_damage(name):
        yield from _text_lines(decompressed(name, file), damaged)
    if damaged:
        say(f"{name}: {len(damaged)} line(s) are not UTF-8, the first is line {damaged[0]}; replaced what was invalid")


def _text_lines(file: IO[bytes], damaged: list[int]) -> Iterator[str]:
    """Yields the lines, and adds the numbers of those that are not UTF-8 to a list."""
    for number, ended in enumerate(file, start=1):
        line = ended.removesuffix(b"\n").removesuffix(b"\r")
        line = line.removeprefix(BOM_UTF8) if number == 1 else line
        try:
            yield line.decode("utf-8")
        except UnicodeDecodeError:
            damaged.append(number)
            yield line.decode("utf-8", "replace")
