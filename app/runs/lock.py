"""The lock of a run, which ensures that only one training writes the run at a time."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_nmt.app.errors import UserError

LOCK = ".lock"  # in the run's folder


@contextmanager
def locked(run: Path) -> Iterator[None]:
    """Locks a run's folder inside the context. The lock also ends if the process ends or is killed.

    On a file system without locks, nothing is locked.

    Raises:
        UserError: Another process holds the lock; the message names that process.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / LOCK).open("a+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.seek(0)
            who = lock.read().strip() or "a process"
            raise UserError(
                f"another nmt train is writing {run}: {who}; wait for it, stop it, or choose another --out"
            ) from error
        except OSError:
            pass
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        try:
            yield
        finally:
            (run / LOCK).unlink(missing_ok=True)
