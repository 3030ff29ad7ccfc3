"""Files of JSON lines, such as `metrics.jsonl` and `dev.jsonl`. An interrupted write damages only the last line."""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any


def append(file: Path, line: Mapping[str, Any]) -> None:
    """Appends `line` to the file as JSON, and closes the file.

    Raises:
        OSError: The line cannot be written; the error names the file.
    """
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def sync(file: Path) -> None:
    """Flushes the file to disk, so that its lines survive a power cut."""
    with file.open("rb") as lines:
        os.fsync(lines.fileno())


def read(file: Path) -> list[dict[str, Any]]:
    """Returns the objects of all complete lines, in order; an empty list if the file does not exist."""
    return [line for line, _ in _lines_and_ends(file)]


def cut_after(file: Path, last: int) -> None:
    """Removes the lines of all steps after `last`, and an incomplete last line. Also works on a full disk."""
    if file.is_file():
        kept = takewhile(lambda line_and_end: line_and_end[0]["step"] <= last, _lines_and_ends(file))
        os.truncate(file, max((end for _, end in kept), default=0))


def _lines_and_ends(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Yields each complete line and the byte offset at which the line ends."""
    end = 0
    for line in file.read_bytes().splitlines(keepends=True) if file.is_file() else []:
        end += len(line)
        try:
            whole = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            whole = None
        if whole is None:
            return
        yield whole, end
