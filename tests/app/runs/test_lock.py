"""Two trainings cannot write one run."""

import fcntl
import os
from pathlib import Path

import pytest

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.lock import LOCK, locked


def test_the_second_training_is_told_which_process_is_the_first(tmp_path: Path) -> None:
    run = tmp_path / "run"
    with locked(run):
        for _ in range(2):
            with pytest.raises(UserError, match=rf"is writing .*run: process {os.getpid()} on .+; wait"), locked(run):
                pytest.fail("both write")
    assert not any(run.iterdir())
    with locked(run):
        pass


def test_the_lock_file_of_a_killed_training_does_not_lock(tmp_path: Path) -> None:
    (tmp_path / LOCK).write_text("process 1 on a machine that was switched off, which had a long name\n")
    with locked(tmp_path):
        assert (tmp_path / LOCK).read_text().startswith(f"process {os.getpid()} on ")


def test_on_a_file_system_without_locks_nothing_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_locks(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with locked(tmp_path), locked(tmp_path):
        pass


def test_a_failed_training_releases_the_lock(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path):
        raise ZeroDivisionError
    with locked(tmp_path):
        pass
