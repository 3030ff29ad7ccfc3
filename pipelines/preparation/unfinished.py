"""The directory that prepared data is written to until it is whole, beside the one that it becomes."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import DataError, LostWorkerError
from pipelines.preparation.job import is_reading
from pipelines.shards.manifest import MANIFEST

LOCK, FINGERPRINT, WORK, REPLACED = "lock", "fingerprint", "work", "replaced"


def check_out(out: Path, force: bool) -> None:
    """Raises a `DataError` unless prepared data may be written to `out`."""
    if out.is_file():
        raise DataError(f"{out} is a file; expected the name of a directory that is not there yet")
    if out.resolve() == Path.cwd():
        raise DataError(f"{out} is the folder that you are in, which would be replaced under your feet; name one in it")
    if out.is_dir() and out.is_mount():
        raise DataError(f"{out} is where something is mounted, so it cannot be renamed; choose a folder in it")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise DataError(f"{out} exists and is not prepared data; choose another --out")
    if not force:
        raise DataError(f"{out} is already prepared; choose another --out or replace it with --force")


@contextmanager
def unfinished(out: Path, fingerprint: str, *, force: bool) -> Iterator[Path]:
    """Gives a directory beside `out` that becomes `out` if all goes well, with what was done in it before.

    What another `fingerprint` left there is removed first. What is interrupted stays to go on from, also by text that
    cannot be read; another mistake of the user's removes it.

    Raises:
        DataError: Another process is writing there, what lies there is somebody else's, or `out` has come to be.
    """
    partial = out.with_name(f"{out.name}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    with (partial / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another nmt prepare is writing {out}; wait for it or choose another --out") from error
        _make_ours(partial, fingerprint)
        try:
            yield partial
        except LostWorkerError:
            raise
        except DataError:
            if not is_reading(partial / WORK):  # what could not be read may be there again soon
                shutil.rmtree(partial)
            raise
        check_out(out, force)
        if out.is_dir():
            out.rename(partial / REPLACED)
        partial.rename(out)
        shutil.rmtree(out / REPLACED, ignore_errors=True)
        for name in (FINGERPRINT, LOCK):
            (out / name).unlink()


def _make_ours(partial: Path, fingerprint: str) -> None:
    known = partial / FINGERPRINT
    if known.is_file() and known.read_text() == fingerprint:
        return
    others = [path for path in partial.iterdir() if path.name != LOCK]
    if others and not known.is_file():
        raise DataError(f"{partial} is in the way and not of nmt prepare; move it or choose another --out")
    known.write_text("")  # what is half removed is nobody's to go on with
    for path in others:
        if path.is_dir():
            shutil.rmtree(path)
        elif path != known:
            path.unlink()
    known.write_text(fingerprint)
