"""A run and an export of each task, which the processes that share the tests share too.

No process checks the exports of this folder; a slow test loads them in one.
"""

from pathlib import Path
from unittest import mock

import pytest

from keras_nmt.app.exporting import export as exporter
from tests.app.command_line import Done, nmt, succeeded
from tests.app.conftest import once
from tests.app.tasks.task_data import LANGUAGE_MODEL, PARSING, SUMMARIZATION, TaskData
from tests.app.traced_once import tracing_once


@pytest.fixture(scope="module", autouse=True)
def everything_is_traced_once(traced_once: None) -> None:
    """The commands of a module share the engines of the runs."""


def written(road: Path, task: TaskData, name: str) -> Path:
    """Returns a folder with the corpus and the dev set of a task."""
    folder = road / name

    def make() -> Done:
        task.write(folder)
        return Done(0, "", "")

    once(road, name, make)
    return folder


def prepared(road: Path, task: TaskData, folder: Path) -> Done:
    """Returns what `nmt prepare` printed for the corpus in a folder."""
    return once(road, f"{folder.name}-data", lambda: task.prepare(folder))


def trained(road: Path, task: TaskData, folder: Path) -> Path:
    """Returns a run on the corpus in a folder, `folder / "run"`."""
    prepared(road, task, folder)
    with tracing_once():
        once(road, f"{folder.name}-run", lambda: task.train(folder / "data", folder / "run"))
    return folder / "run"


@pytest.fixture(scope="session")
def treebank(road: Path) -> Path:
    """A folder with `train.trees` and `dev.trees`."""
    return written(road, PARSING, "treebank")


@pytest.fixture(scope="session")
def parser_run(road: Path, treebank: Path) -> Path:
    """A parser that has hardly learnt anything. Its data are in `treebank / "data"`."""
    return trained(road, PARSING, treebank)


@pytest.fixture(scope="session")
def parser_exporting(road: Path, parser_run: Path, treebank: Path) -> Done:
    """What `nmt export` printed for the parser, after an evaluation."""

    def make() -> Done:
        succeeded(nmt("evaluate", parser_run, "--test-set", f"trees:{treebank / 'dev.trees'}"))
        return nmt("export", parser_run, "--out", treebank / "parser", "--precision", "float32")

    with tracing_once(), mock.patch.object(exporter, "check_in_fresh_process", return_value=None):
        return once(road, "parser-export", make)


@pytest.fixture(scope="session")
def parser_export(parser_exporting: Done, treebank: Path) -> Path:
    """The parser as a SavedModel, version 1."""
    return treebank / "parser"


@pytest.fixture(scope="session")
def texts(road: Path) -> Path:
    """A folder with `train.tsv` and `dev.jsonl`."""
    return written(road, SUMMARIZATION, "summaries")


@pytest.fixture(scope="session")
def summary_run(road: Path, texts: Path) -> Path:
    """A model that copies, and summarizes badly. Its data are in `texts / "data"`."""
    return trained(road, SUMMARIZATION, texts)


@pytest.fixture(scope="session")
def summary_exporting(road: Path, summary_run: Path, texts: Path) -> Done:
    """What `nmt export` printed for the summarizer, after an evaluation."""

    def make() -> Done:
        succeeded(nmt("evaluate", summary_run, "--test-set", f"jsonl:{texts / 'dev.jsonl'}"))
        return nmt("export", summary_run, "--out", texts / "summarizer", "--precision", "float32")

    with tracing_once(), mock.patch.object(exporter, "check_in_fresh_process", return_value=None):
        return once(road, "summarizer-export", make)


@pytest.fixture(scope="session")
def summary_export(summary_exporting: Done, texts: Path) -> Path:
    """The summarizer as a SavedModel, version 1."""
    return texts / "summarizer"


@pytest.fixture(scope="session")
def running_text(road: Path) -> Path:
    """A folder with `train.txt` and `dev.txt`."""
    return written(road, LANGUAGE_MODEL, "running-text")


@pytest.fixture(scope="session")
def running_text_preparing(road: Path, running_text: Path) -> Done:
    """What `nmt prepare` printed for the running text. The data are in `running_text / "data"`."""
    return prepared(road, LANGUAGE_MODEL, running_text)


@pytest.fixture(scope="session")
def language_model_run(road: Path, running_text: Path) -> Path:
    """A language model of 40 steps, checkpoints at 20 and 40. Its data are in `running_text / "data"`."""
    return trained(road, LANGUAGE_MODEL, running_text)
