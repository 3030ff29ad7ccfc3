"""One small road for all tests of the application: data, a run that was trained a few steps, its export.

The processes that share the tests share the road too: the first that needs a part makes it.
"""

import fcntl
import os
import pickle
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest

from keras_nmt.app.exporting import export as exporter
from tests.app.command_line import SAMPLE, Done, nmt, succeeded, train_arguments
from tests.app.multilingual import SETTINGS, write_data
from tests.app.traced_once import exports_loaded_once, on_one_device, tracing_once


@pytest.fixture(scope="session")
def road(tmp_path_factory: pytest.TempPathFactory) -> Path:
    own = tmp_path_factory.getbasetemp()
    road = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "road"
    road.mkdir(exist_ok=True)
    return road


def once(road: Path, part: str, make: Callable[[], Done]) -> Done:
    """What making a part of the road left; makes it unless another process has."""
    with (road / f"{part}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = road / f"{part}.made"
        if not made.exists():
            made.write_bytes(pickle.dumps(succeeded(make())))
        done: Done = pickle.loads(made.read_bytes())
        return done


@pytest.fixture(scope="module")
def traced_once() -> Iterator[None]:
    """For tests that say they use it: what was traced or loaded before in this process is used again."""
    with tracing_once(), exports_loaded_once():
        yield


@pytest.fixture(scope="session")
def preparing(road: Path) -> Done:
    def prepare() -> Done:
        specs = ("--corpus", SAMPLE, "--dev", f"tsv:{road / 'dev.tsv'}")
        rows = [
            "It rains.\tEs regnet.",
            "We are here.\tWir sind hier.",
            "Who?\tWer?",
            "I know it well.\tIch weiß es gut.",
        ]
        (road / "dev.tsv").write_text("".join(f"{row}\n" for row in rows), encoding="utf-8")
        sizes = ("--limit", "600", "--vocabulary-size", "504")
        return nmt("prepare", "--pair", "en-de", *specs, *sizes, "--out", road / "data")

    return once(road, "data", prepare)


@pytest.fixture(scope="session")
def data(road: Path, preparing: Done) -> Path:
    return road / "data"


@pytest.fixture(scope="session")
def training(road: Path, data: Path) -> Done:
    with tracing_once():
        return once(road, "run", lambda: nmt(*train_arguments(data, road / "run")))


@pytest.fixture(scope="session")
def run(road: Path, training: Done) -> Path:
    """Four steps, checkpoints at 2 and 4. Tests do not write to it."""
    return road / "run"


@pytest.fixture(scope="session")
def exporting(road: Path, run: Path) -> Done:
    arguments = ("export", run, "--out", road / "export", "--precision", "float32", "--cpu-engine", "none")
    with tracing_once():
        return once(road, "export", lambda: nmt(*arguments))


@pytest.fixture(scope="session")
def export(road: Path, exporting: Done) -> Path:
    """The run as a SavedModel, version 1. Tests do not write to it."""
    return road / "export"


@pytest.fixture(scope="session")
def multilingual_data(road: Path) -> Path:
    """Data of two target languages and a domain. Tests do not write to it."""

    def make() -> Done:
        write_data(road / "multilingual-data")
        return Done(0, "", "")

    once(road, "multilingual-data", make)
    return road / "multilingual-data"


@pytest.fixture(scope="session")
def multilingual_run(road: Path, multilingual_data: Path) -> Path:
    """A model that has learnt what the tags mean. Tests do not write to it."""
    out = road / "multilingual-run"
    with tracing_once(), on_one_device():
        once(road, "multilingual-run", lambda: nmt(*train_arguments(multilingual_data, out, *SETTINGS)))
    return out


@pytest.fixture(scope="session")
def multilingual_export(road: Path, multilingual_run: Path) -> Path:
    """The same as a SavedModel with its CPU engine, version 1, which no process checked. Tests do not write to it."""
    out = road / "multilingual-export"
    arguments = ("export", multilingual_run, "--out", out, "--precision", "float32")
    with tracing_once(), mock.patch.object(exporter, "check_in_fresh_process", return_value=None):
        once(road, "multilingual-export", lambda: nmt(*arguments))
    return out


@pytest.fixture
def run_copy(run: Path, tmp_path: Path) -> Path:
    """The same run, to write to."""
    return Path(shutil.copytree(run, tmp_path / "run"))
