"""Summaries by the command line: from texts with their summaries to a run that cuts what it cannot read."""

import json
from pathlib import Path

import pytest

from keras_nmt.pipelines.shards.manifest import Manifest
from tests.app.command_line import nmt, succeeded
from tests.app.tasks.corpora import LONG


def test_a_text_that_is_too_long_is_cut_and_counted_not_dropped(summary_run: Path, texts: Path) -> None:
    manifest = Manifest.load(texts / "data")
    assert (manifest.task, str(manifest.pair)) == ("summarization", "text-summary")
    assert manifest.split("train").cleaning["cut"] == 1
    assert "too_many_tokens" not in manifest.split("train").cleaning["dropped"]


def test_each_line_gets_a_summary_and_the_lines_that_were_cut_are_counted(summary_run: Path) -> None:
    done = succeeded(nmt("summarize", summary_run, "--json", stdin=f"We saw a cat.\n\n{LONG}\n".encode()))
    short, empty, long = map(json.loads, done.lines)
    assert "cut" not in short.get("warnings", [])
    assert empty["translation"] == ""
    assert "cut" in long["warnings"]
    assert "1 line(s) had more than 95 tokens; the rest was not read" in done.err


def test_the_length_of_summaries_is_within_the_limits(summary_export: Path) -> None:
    limits = ("--min-length", "7", "--max-length", "8", "--n-best", "2", "--json", "--token-scores")
    done = succeeded(
        nmt("summarize", summary_export, *limits, stdin=b"We saw a cat.\nWe met a dog and a bird in the park.\n")
    )
    for summary in map(json.loads, done.lines):
        every = [summary["tokens"], *(other["tokens"] for other in summary["alternatives"])]
        assert len(every) == 2
        assert all(tokens[-1][0] == "</s>" and len(tokens) in (8, 9) for tokens in every)


@pytest.mark.parametrize(
    ("lengths", "message"),
    [
        (("--min-length", "9", "--max-length", "8"), "--min-length is 9, which is more than --max-length, 8"),
        (("--min-length", "-1"), "--min-length is -1; it must be at least 0"),
        (("--max-length", "-1"), "--max-length is -1; it must be at least 0"),
    ],
)
def test_lengths_that_cannot_be_are_refused(summary_run: Path, lengths: tuple[str, ...], message: str) -> None:
    done = nmt("summarize", summary_run, *lengths, stdin=b"We saw a cat.\n")
    assert (done.code, done.complaints) == (1, [f"nmt summarize: {message}"])


def test_the_dev_set_and_evaluate_are_scored_by_rouge(summary_run: Path, texts: Path) -> None:
    results = [json.loads(line) for line in (summary_run / "dev.jsonl").read_text().splitlines()]
    assert {"dev_rouge1", "dev_rouge2", "dev_rougeL"} <= results[-1].keys()
    done = succeeded(nmt("evaluate", summary_run, "--test-set", f"jsonl:{texts / 'dev.jsonl'}", "--json"))
    assert {"rouge1", "rouge2", "rougeL"} <= json.loads(done.out).keys()
    text = succeeded(nmt("evaluate", summary_run, "--test-set", f"jsonl:{texts / 'dev.jsonl'}")).out
    assert [line.split()[0] for line in text.splitlines()] == ["ROUGE-1", "ROUGE-2", "ROUGE-L"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pair", "en-de"), "--pair is for translation; summarization has the sides text-summary; leave --pair out"),
        (("--task", "summarisation"), "unknown task 'summarisation'; did you mean summarization? known: "),
    ],
)
def test_wrong_sides_and_tasks_are_refused(texts: Path, arguments: tuple[str, ...], message: str) -> None:
    task = () if "--task" in arguments else ("--task", "summarization")
    specs = ("--corpus", f"tsv:{texts / 'train.tsv'}", "--dev", f"jsonl:{texts / 'dev.jsonl'}")
    done = nmt("prepare", *task, *arguments, *specs, "--out", texts / "other")
    assert done.code == 1
    assert done.complaints[0].startswith(f"nmt prepare: {message}")
