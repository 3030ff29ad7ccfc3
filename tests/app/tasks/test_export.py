"""Exports of summarizers and parsers: their model cards, and what they give on the command line and by themselves."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from keras_nmt.app.exporting.export import tagged_examples
from keras_nmt.app.models.loading import RunModel
from tests.app.command_line import Done, nmt, succeeded
from tests.app.tasks.corpora import LONG, PAIRS

SENTENCES = ["The cat didn't sleep.", "(", "", "A dog (an old one) barks at night, or not."]
ALONE = """
import sys
import tensorflow as tf
import tensorflow_text
for version, text in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
    serving_default = tf.saved_model.load(version).signatures["serving_default"]
    print(serving_default(texts=tf.constant([text]))["translations"].numpy()[0].decode())
assert not any(name.startswith(("keras_nmt", "sentencepiece")) for name in sys.modules)
"""


def parts(export: Path) -> tuple[dict[str, Any], str]:
    """Returns the front matter of a model card, parsed, and its Markdown."""
    _, front, body = (export / "1" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    return yaml.safe_load(front), body


def golden_texts(export: Path) -> Iterator[str]:
    """Yields the texts of the golden translations of an export."""
    file = export / "1" / "assets.extra" / "golden_translations.json"
    yield from (line["text"] for line in json.loads(file.read_text(encoding="utf-8"))["translations"])


@pytest.mark.parametrize(
    ("exporting", "task"), [("parser_exporting", "parsing"), ("summary_exporting", "summarization")]
)
def test_that_ctranslate2_is_missing_is_no_error(request: pytest.FixtureRequest, exporting: str, task: str) -> None:
    done: Done = request.getfixturevalue(exporting)  # one of the two, because making both takes long
    assert done.complaints == []
    assert f"CTranslate2 does not do {task}; using the SavedModel alone" in done.err.splitlines()


def test_a_format_that_the_task_does_not_have_is_refused(parser_run: Path, tmp_path: Path) -> None:
    done = nmt("export", parser_run, "--out", tmp_path / "export", "--format", "ctranslate2")
    assert done.complaints == ["nmt export: CTranslate2 does not do parsing; use TensorFlow"]


@pytest.mark.parametrize(
    "options",
    [
        (),
        pytest.param(("--n-best", "2"), marks=pytest.mark.slow),
        pytest.param(("--tokenized", "--beam-size", "1"), marks=pytest.mark.slow),
    ],
)
def test_an_export_parses_as_its_run(parser_run: Path, parser_export: Path, options: tuple[str, ...]) -> None:
    stdin = "".join(f"{sentence}\n" for sentence in SENTENCES).encode()
    by_run, by_export = (
        succeeded(nmt("parse", model, *options, stdin=stdin)).lines for model in (parser_run, parser_export)
    )
    assert by_export == by_run
    assert "(TOP (" in by_run[0]


@pytest.mark.slow
@pytest.mark.parametrize("options", [("--scores",), ("--sample", "--seed", "7")])
def test_an_export_summarizes_as_its_run(summary_run: Path, summary_export: Path, options: tuple[str, ...]) -> None:
    stdin = f"{PAIRS[0][0]}\n\n{LONG}\n".encode()
    by_run, by_export = (
        succeeded(nmt("summarize", model, *options, stdin=stdin)) for model in (summary_run, summary_export)
    )
    assert by_export.lines == by_run.lines
    assert "1 line(s) had more than 95 tokens" in by_export.err


def test_the_wrong_verb_and_an_ensemble_of_two_tasks_are_refused(
    parser_export: Path, summary_export: Path, parser_run: Path, summary_run: Path
) -> None:
    for verb, export, right in (
        ("translate", parser_export, "parsing; use nmt parse"),
        ("summarize", parser_export, "parsing; use nmt parse"),
        ("translate", summary_export, "summarization; use nmt summarize"),
        ("parse", summary_export, "summarization; use nmt summarize"),
    ):
        done = nmt(verb, export, stdin=b"a cat\n")
        assert done.complaints == [f"nmt {verb}: {export} is a model of {right}"]
    done = nmt("parse", parser_run, "--ensemble", summary_run, stdin=b"a cat\n")
    refused = f"nmt parse: {summary_run} is a model of summarization, and {parser_run} of parsing"
    assert done.complaints == [refused]
    done = nmt("summarize", summary_export, "--engine", "tensorflow", stdin=b"a cat\n")
    assert (done.code, "unrecognized arguments: --engine" in done.err) == (2, True)


@pytest.mark.slow
def test_the_saved_models_need_only_tensorflow_and_tensorflow_text(parser_export: Path, summary_export: Path) -> None:
    text = PAIRS[0][0]
    given = (str(parser_export / "1"), "it rains .", str(summary_export / "1"), text)
    done = subprocess.run([sys.executable, "-I", "-c", ALONE, *given], capture_output=True, text=True, check=True)
    tree = succeeded(nmt("parse", parser_export, "--tokenized", stdin=b"it rains .\n")).out
    summary = succeeded(nmt("summarize", summary_export, stdin=f"{text}\n".encode())).out
    assert done.stdout == tree + summary


def test_the_golden_texts_of_a_parser_are_words_with_spaces_between_them(parser_run: Path, parser_export: Path) -> None:
    *_, sentence, empty, long = golden_texts(parser_export)
    assert sentence.endswith((" .", " ?"))
    assert empty == ""
    assert set(long.split()) >= set(sentence.split())
    model = RunModel(parser_run)
    model.run.manifest.pop("examples")
    assert [text[-2:] for text in tagged_examples(model)] == [" ."] * 4  # made up


def test_the_card_of_a_parser_is_in_the_words_of_parsing(parser_export: Path) -> None:
    front, body = parts(parser_export)
    assert front == {
        "license": "unknown",
        "pipeline_tag": "other",
        "tags": ["constituency-parsing", "parsing", "transformer", "tensorflow"],
        "metrics": ["recall", "precision", "f1", "exact_match"],
    }
    for expected in (
        "# Constituency parsing\n\nA Transformer ",
        "Every output is a well-formed tree over exactly the words given.",
        "| task | parsing: words to tree |",
        "| vocabulary | 384 SentencePiece pieces, of words, and one for each bracket of a tree |",
        "up to 60 brackets |",
        "Its words and marks are separated by spaces, as in the Penn Treebank",
        "## Trees\n\nThe model's own, of sentences of the dev set:\n\n| words | tree | score |\n| --- |",
        "| test set | sentences | beam | recall | precision | F1 | complete match |\n| --- | --- | --- | --- | --- |",
        "| `trees:dev.trees` | 4 | 2 | ",
        "by the rules of EVALB with its parameters COLLINS.prm",
        "| step | F1 | complete match | loss | perplexity |\n| --- | --- | --- | --- | --- |\n| 4 | ",
        "- The trees have no function tags and no empty elements.",
    ):
        assert expected in body
    assert "ranslat" not in body.split("## Trees")[1].split("## Architecture")[0]
    assert "BLEU" not in body


def test_the_card_of_a_summarizer_is_in_the_words_of_summarization(summary_export: Path) -> None:
    front, body = parts(summary_export)
    assert front == {
        "license": "unknown",
        "pipeline_tag": "summarization",
        "tags": ["summarization", "transformer", "tensorflow"],
        "metrics": ["rouge"],
    }
    for expected in (
        "# Summarization\n\nA Transformer ",
        "| task | summarization: text to summary |",
        "shared by texts and summaries |",
        "## Summaries\n\nThe model's own, of texts of the dev set:\n\n| text | summary | score |",
        "| test set | texts | beam | ROUGE-1 | ROUGE-2 | ROUGE-L |\n| --- | --- | --- | --- | --- | --- |\n",
        "| `jsonl:dev.jsonl` | 8 | 2 | ",
        "\n\n- ROUGE (F-measure): `nrefs:1|",
        "| step | ROUGE-1 | ROUGE-2 | ROUGE-L | loss | perplexity |",
        "- A text of more than 95 tokens is cut at the end of a sentence.",
        "The outputs `translations` are summaries.",
    ):
        assert expected in body
    assert "BLEU" not in body
