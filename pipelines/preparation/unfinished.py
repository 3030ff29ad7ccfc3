"""The folder OUT.partial, to which data is written. The folder is renamed to OUT when the data is complete."""

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
    """Raises a `DataError` if prepared data must not be written to `out`.

    Data must not be written to a file, to the current folder, to a mount point, or to a folder that has other files.
    Prepared data may be replaced only if `force` is True.
    """
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

    If the folder contains files of an interrupted preparation, they are kept if that preparation had the same
    fingerprint, so that it can be resumed. Otherwise they are removed first.

    If the block raises a `DataError`, the folder is removed, except in two cases in which resuming may help: a worker
    was lost, or the text was still being read. After other exceptions, such as an interruption, the folder is kept.

    Args:
        out: The folder of the prepared data.
        fingerprint: A digest of the options and the identity of the text.
        force: True to replace prepared data that is in `out`.

    Raises:
        DataError: Another process is writing to the folder, the folder has files that `nmt prepare` did not write, or
            `out` was created during the block.
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
    """Writes the fingerprint to the folder, after removing files of a preparation with another fingerprint.

    Raises:
        DataError: The folder has files, but no fingerprint, so `nmt prepare` did not create it.
    """
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
