"""The folder OUT.partial that data is written to until it is complete and renamed to OUT."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_nmt.pipelines.errors import DataError, LostWorkerError
from keras_nmt.pipelines.preparation.job import is_reading
from keras_nmt.pipelines.shards.manifest import MANIFEST

LOCK, FINGERPRINT, WORK, REPLACED = "lock", "fingerprint", "work", "replaced"


def check_out(out: Path, force: bool) -> None:
    """Raises a `DataError` if prepared data must not be written to `out`."""
    if out.is_file():
        raise DataError(f"{out} is a file; expected the name of a new directory")
    if out.resolve() == Path.cwd():
        raise DataError(f"{out} is the current folder, which would be replaced; choose a folder in it")
    if out.is_dir() and out.is_mount():
        raise DataError(f"{out} is a mount point, which cannot be renamed; choose a folder in it")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise DataError(f"{out} exists and is not prepared data; choose another --out")
    if not force:
        raise DataError(f"{out} is already prepared; choose another --out or replace it with --force")


@contextmanager
def unfinished(out: Path, fingerprint: str, *, force: bool) -> Iterator[Path]:
    """Yields the folder `out`.partial, which is renamed to `out` at the end of the block.

    Files of an interrupted preparation with the same fingerprint are kept, so that it can be resumed; files of another
    one are removed first. If the block raises, the folder is kept after interruptions, lost workers and text that
    cannot be read, and removed after any other user error.

    Args:
        out: The folder of the prepared data.
        fingerprint: Identifies the options and the text.
        force: True to replace an existing `out`.

    Raises:
        DataError: Another process writes there, the folder has files of something else, or `out` was created meanwhile.
    """
    partial = out.with_name(f"{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another nmt prepare is writing {out}; wait for it or choose another --out") from error
        _claim(partial, fingerprint)
        try:
            yield partial
        except LostWorkerError:
            raise
        except DataError:
            if not is_reading(partial / WORK):  # text that cannot be read now may be readable later
                shutil.rmtree(partial)
            raise
        check_out(out, force)
        if out.is_dir():
            out.rename(partial / REPLACED)
        partial.rename(out)
        shutil.rmtree(out / REPLACED, ignore_errors=True)
        for name in (FINGERPRINT, LOCK):
            (out / name).unlink()


def _claim(partial: Path, fingerprint: str) -> None:
    """Marks the folder with the fingerprint, after removing the files of an earlier preparation with another one."""
    known = partial / FINGERPRINT
    if known.is_file() and known.read_text() == fingerprint:
        return
    others = [path for path in partial.iterdir() if path.name != LOCK]
    if others and not known.is_file():
        raise DataError(f"{partial} exists and was not created by nmt prepare; move it or choose another --out")
    known.write_text("")  # a half-removed folder must not be resumed
    for path in others:
        if path.is_dir():
            shutil.rmtree(path)
        elif path != known:
            path.unlink()
    known.write_text(fingerprint)
