"""Workers process items in order on any number of processes, and pass on user errors."""

import os
from functools import partial
from pathlib import Path

import pytest

from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.workers import BeamWorkers, LocalWorkers, local_workers


def note(folder: Path, item: int) -> int:
    (folder / str(item)).write_text(str(os.getpid()))
    return item


def refuse(item: int) -> int:
    raise DataError(f"item {item} is bad")


def end(item: int) -> int:
    os._exit(9)


@pytest.mark.parametrize("count", [1, 2])
def test_each_item_is_processed_once_and_reported_in_order(tmp_path: Path, count: int) -> None:
    told: list[int] = []
    with local_workers(count) as workers:
        workers.run(partial(note, tmp_path), range(9), told.append)
    assert told == list(range(9))
    assert sorted(path.name for path in tmp_path.iterdir()) == [str(i) for i in range(9)]
    here = {path.read_text() == str(os.getpid()) for path in tmp_path.iterdir()}
    assert here == {count == 1}


def test_a_single_item_starts_no_process(tmp_path: Path) -> None:
    with local_workers(2) as workers:
        workers.run(partial(note, tmp_path), [5], lambda _: None)
    assert (tmp_path / "5").read_text() == str(os.getpid())


def test_items_are_taken_lazily() -> None:
    read: list[int] = []

    def items():
        for i in range(100):
            read.append(i)
            yield i

    with pytest.raises(DataError, match="item 0 is bad"), local_workers(2) as workers:
        workers.run(refuse, items(), lambda _: None)
    assert len(read) < 10


def test_a_worker_that_is_killed_is_reported() -> None:
    message = "a worker was killed, .*; run the same command with fewer --workers to resume"
    with local_workers(2) as workers, pytest.raises(DataError, match=message):
        workers.run(end, range(4), lambda _: None)


def test_no_workers_are_refused() -> None:
    with pytest.raises(DataError, match="workers must be at least 1, got 0"):
        LocalWorkers(0)
    with pytest.raises(DataError, match="workers must be at least 1, got -1"):
        LocalWorkers(-1)


def test_beam_that_is_not_installed_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "apache_beam", None)
    message = r"Apache Beam is not installed; install the extra: pip install 'keras-nmt\[beam\]'"
    with pytest.raises(DataError, match=message):
        BeamWorkers([])
