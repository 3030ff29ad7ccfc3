"""A server with an open run."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from keras_nmt.app.inside.checkpoints import write_start
from keras_nmt.app.inside.inspected_run import InspectedRun, loaded_without_dropout
from keras_nmt.app.runs.directory import RunDirectory
from tests.app.server.serving import Running, serving


@pytest.fixture(scope="module")
def folder(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the small run, from which a test removes a checkpoint."""
    return Path(shutil.copytree(run, tmp_path_factory.mktemp("inside") / "run"))


@pytest.fixture(scope="module")
def open_server(folder: Path, export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """A server with the small export, whose run is open."""
    opened = RunDirectory.open(folder)
    with serving(export) as running:
        start = write_start(opened, tmp_path_factory.mktemp("start") / "0")
        running.service.inspected_run = InspectedRun(loaded_without_dropout(folder), start)
        yield running
