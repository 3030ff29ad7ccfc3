"""Files and folders that are complete or absent: each is written under a temporary name and then renamed.

So other processes and later runs never see a half-written file. Downloads do not use this module, because an incomplete
download is kept so that it can be resumed.
"""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path: Path, *, temporary: Path | None = None) -> Iterator[Path]:
    """Yields a temporary path beside `path` and renames it to `path` at the end of the block.

    If the block raises, the temporary file is removed and `path` is not changed.

    Args:
        path: The file that is written or replaced.
        temporary: The temporary path, for a file that only one process writes: a file that a killed process left there
            is replaced by the next one. By default, the path is unique, so several processes may write the same file,
            and the last rename wins.
    """
    temporary = temporary or path.with_name(f"{path.name}.{uuid.uuid4().hex}.part")
    try:
        yield temporary
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def atomic_folder(path: Path) -> Iterator[Path]:
    """Yields a new, empty folder beside `path` and renames it to `path` at the end of the block.

    At the end of the block, `path` must be absent or an empty folder. If the block raises, the temporary folder is
    removed. A temporary folder that a killed process left behind is removed before the block.
    """
    temporary = path.with_name(f".{path.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        temporary.rename(path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Writes a file under a temporary name and renames it to `path`. Replaces an existing file."""
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
