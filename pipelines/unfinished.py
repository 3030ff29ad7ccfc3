"""The directory that prepared data is written to until it is whole, beside the one that it becomes."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pipelines.errors import DataError
from pipelines.manifest import MANIFEST

LOCK, FINGERPRINT = "lock", "fingerprint"


def check_out(out: Path, force: bool) -> None:
    """Raises a `DataError` unless prepared data may be written to `out`."""
    if out.is_file():
        raise DataError(f"{out} is a file; expected the name of a directory that is not there yet")
    if not out.is_dir() or not any(out.iterdir()):
        return
    if not (out / MANIFEST).is_file():
        raise DataError(f"{out} exists and is not prepared data; choose another --out")
    if not force:
        raise DataError(f"{out} is already prepared; choose another --out or replace it with --force")


@contextmanager
def unfinished(out: Path, fingerprint: str) -> Iterator[Path]:
    """Gives a directory beside `out` that becomes `out` if all goes well, with what was done in it before.

    What another `fingerprint` left there is removed first. A mistake of the user's removes it; what is interrupted
    leaves it, to go on from.

    Raises:
        DataError: Another process is writing there.
    """
    partial_out = out.with_name(f"{out.name}.partial")
    partial_out.mkdir(parents=True, exist_ok=True)
    with (partial_out / LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"another nmt prepare is writing {out}; wait for it or choose another --out") from error
        known = partial_out / FINGERPRINT
        if not known.is_file() or known.read_text() != fingerprint:
            _empty(partial_out)
            known.write_text(fingerprint)
        try:
            yield partial_out
        except DataError:
            shutil.rmtree(partial_out)
            raise
        for name in (LOCK, FINGERPRINT):
            (partial_out / name).unlink()
        if out.is_dir():
            shutil.rmtree(out)
        partial_out.rename(out)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != LOCK:
            path.unlink()
