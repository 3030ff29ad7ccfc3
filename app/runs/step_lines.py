"""Files with one JSON object a step, `metrics.jsonl` and `dev.jsonl`. What breaks off damages the last line only."""

import json
import os
from collections.abc import Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any


def append(file: Path, line: Mapping[str, Any]) -> None:
    """Adds a step; the file is not held open.

    Raises:
        OSError: It cannot be written; the error names the file.
    """
    try:
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(line) + "\n")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(file)) from error


def sync(file: Path) -> None:
    """Has the lines on the disk, so that no power cut takes them."""
    with file.open("rb") as lines:
        os.fsync(lines.fileno())


def read(file: Path) -> list[dict[str, Any]]:
    """All whole lines; none where there is no file."""
    return [line for line, _ in _lines_and_ends(file)]


def cut_after(file: Path, last: int) -> None:
    """Takes away what comes after step `last`, and a last line that is not whole. Needs no room on the disk."""
    if file.is_file():
        kept = takewhile(lambda line_and_end: line_and_end[0]["step"] <= last, _lines_and_ends(file))
        os.truncate(file, max((end for _, end in kept), default=0))


def _lines_and_ends(file: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Each whole line with the offset of its end in bytes."""
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
