"""A run and an export of each task, which the processes that share the tests share too."""

from pathlib import Path

import pytest

from tests.app.command_line import Done, nmt, succeeded, train_arguments
from tests.app.conftest import once
from tests.app.tasks.corpora import write_summaries, write_trees
from tests.app.traced_once import tracing_once


@pytest.fixture(scope="session")
def treebank(road: Path) -> Path:
    """A folder with `train.trees` and `dev.trees`."""
    folder = road / "treebank"

    def make() -> Done:
        write_trees(folder)
        return Done(0, "", "")

    once(road, "treebank", make)
    return folder


@pytest.fixture(scope="session")
def parser_run(road: Path, treebank: Path) -> Path:
    """A parser that has hardly learnt anything. Its data are in `treebank / "data"`."""

    def make() -> Done:
        specs = ("--corpus", f"trees:{treebank / 'train.trees'}", "--dev", f"trees:{treebank / 'dev.trees'}")
        succeeded(nmt("prepare", "--task", "parsing", *specs, "--vocabulary-size", "384", "--out", treebank / "data"))
        settings = ("training.max_length=256", "training.batch_tokens=2048", "decoding.max_extra_tokens=60")
        return nmt(*train_arguments(treebank / "data", treebank / "run", *settings))

    with tracing_once():
        once(road, "parser", make)
    return treebank / "run"


@pytest.fixture(scope="session")
def parser_exporting(road: Path, parser_run: Path, treebank: Path) -> Done:
    """What `nmt export` printed for the parser, after an evaluation."""

    def make() -> Done:
        succeeded(nmt("evaluate", parser_run, "--test-set", f"trees:{treebank / 'dev.trees'}"))
        return nmt("export", parser_run, "--out", treebank / "parser", "--precision", "float32")

    with tracing_once():
        return once(road, "parser-export", make)


@pytest.fixture(scope="session")
def parser_export(parser_exporting: Done, treebank: Path) -> Path:
    """The parser as a SavedModel, version 1."""
    return treebank / "parser"


@pytest.fixture(scope="session")
def texts(road: Path) -> Path:
    """A folder with `train.tsv` and `dev.jsonl`."""
    folder = road / "summaries"

    def make() -> Done:
        write_summaries(folder)
        return Done(0, "", "")

    once(road, "summaries", make)
    return folder


@pytest.fixture(scope="session")
def summary_run(road: Path, texts: Path) -> Path:
    """A model that copies, and summarizes badly. Its data are in `texts / "data"`."""

    def make() -> Done:
        specs = ("--corpus", f"tsv:{texts / 'train.tsv'}", "--dev", f"jsonl:{texts / 'dev.jsonl'}")
        sizes = ("--vocabulary-size", "296", "--max-tokens", "95", "--near-duplicates", "1")
        succeeded(nmt("prepare", "--task", "summarization", *specs, *sizes, "--out", texts / "data"))
        settings = ("model.copying=true", "training.max_length=96", "decoding.max_source_tokens=95")
        return nmt(*train_arguments(texts / "data", texts / "run", *settings))

    with tracing_once():
        once(road, "summarizer", make)
    return texts / "run"


@pytest.fixture(scope="session")
def summary_exporting(road: Path, summary_run: Path, texts: Path) -> Done:
    """What `nmt export` printed for the summarizer, after an evaluation."""

    def make() -> Done:
        succeeded(nmt("evaluate", summary_run, "--test-set", f"jsonl:{texts / 'dev.jsonl'}"))
        return nmt("export", summary_run, "--out", texts / "summarizer", "--precision", "float32")

    with tracing_once():
        return once(road, "summarizer-export", make)


@pytest.fixture(scope="session")
def summary_export(summary_exporting: Done, texts: Path) -> Path:
    """The summarizer as a SavedModel, version 1."""
    return texts / "summarizer"
