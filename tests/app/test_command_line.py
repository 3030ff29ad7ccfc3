"""The command line: from text to data, a run, its scores and an export; help, examples and closed pipes."""

import json
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from keras_nmt.app.cli import VERBS, build_parser
from keras_nmt.app.runs import directory as run_directory
from keras_nmt.app.runs.choice import choose_checkpoint
from tests.app.command_line import TINY, Done, nmt, succeeded, train_arguments

pytestmark = pytest.mark.usefixtures("traced_once")
ROOT = Path(__file__).resolve().parents[2]


def steps_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def process(*command: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *map(str, command)], input=given, capture_output=True, cwd=ROOT, check=False)


# prepare, train, average, evaluate


def test_results_go_to_stdout_and_everything_else_to_stderr(
    road: Path, preparing: Done, training: Done, exporting: Done
) -> None:
    run = road / "run"
    assert preparing.lines == [str(road / "data")]
    assert "train: kept 600 of 60" in preparing.err
    assert training.lines == [str(run)]
    assert "598 training pairs, 2 longer than 64 tokens" in training.err
    assert exporting.lines == [str(road / "export" / "1")]
    assert exporting.err == f"{run}: step 4\n"


def test_a_run_records_what_it_was_made_from(data: Path, run: Path) -> None:
    manifest, of_data = (json.loads((folder / "manifest.json").read_text()) for folder in (run, data))
    assert manifest["pair"] == {"source": "en", "target": "de"}
    assert manifest["seed"] == 1
    assert manifest["vocabulary_digest"] == of_data["vocabulary"]["digest"]
    assert manifest["data"]["train"] == [shard["sha256"] for shard in of_data["splits"]["train"]["shards"]]
    assert set(manifest["versions"]) == set(run_directory.PACKAGES)
    assert manifest["versions"]["tensorflow"] == tf.__version__


def test_each_step_is_logged_once_with_its_figures(run: Path) -> None:
    logged = steps_of(run / "metrics.jsonl")
    assert [line["step"] for line in logged] == [1, 2, 3, 4]
    for line in logged:
        assert line.keys() == {
            *("step", "loss", "cross_entropy", "accuracy", "gradient_norm", "learning_rate"),
            *("source_tokens", "target_tokens", "padding_share", "skipped", "seconds"),
        }
        assert 0 < line["target_tokens"] <= 1024
        assert line["loss"] == pytest.approx(np.log(504), rel=0.2)
    evaluated = steps_of(run / "dev.jsonl")
    assert [line.keys() for line in evaluated] == [{"step", "dev_loss", "dev_perplexity", "dev_bleu"}] * 2
    assert [line["step"] for line in evaluated] == [2, 4]


def test_the_same_command_resumes_as_if_it_had_not_stopped(data: Path, run: Path, run_copy: Path) -> None:
    succeeded(nmt("average", run_copy, "--last", "2"))
    shutil.rmtree(run_copy / "checkpoints" / "step-00000004")  # it stopped after step 2, steps 3 and 4 logged
    changed = ("steps=6", "keep_checkpoints=2", "checkpoint_every=1", "dev_sentences=0", "keep_best=0")
    done = succeeded(nmt(*train_arguments(data, run_copy, *(f"training.{change}" for change in changed))))
    assert "resuming from step 2 of 6" in done.err
    logged = steps_of(run_copy / "metrics.jsonl")
    assert [line["step"] for line in logged] == [1, 2, 3, 4, 5, 6]
    for again, before in zip(logged[2:4], steps_of(run / "metrics.jsonl")[2:], strict=True):
        assert again["loss"] == pytest.approx(before["loss"], abs=1e-5)
        assert again["gradient_norm"] == pytest.approx(before["gradient_norm"], rel=1e-4)
        assert again["target_tokens"] == before["target_tokens"]
    assert [(line["step"], "dev_bleu" in line) for line in steps_of(run_copy / "dev.jsonl")] == [
        *((2, True), (3, False), (4, False), (5, False), (6, False))
    ]
    opened = run_directory.RunDirectory.open(run_copy)
    assert [step for step, _ in opened.checkpoints.steps()] == [5, 6]  # 2, the best, was not to be kept
    assert choose_checkpoint(opened).step == 6  # newer than the average of 2 and 4


def test_a_finished_run_is_left_alone(data: Path, run_copy: Path) -> None:
    before = (run_copy / "metrics.jsonl").read_bytes()
    done = succeeded(nmt(*train_arguments(data, run_copy)))
    assert "already trained to step 4; raise training.steps to continue" in done.err
    assert (run_copy / "metrics.jsonl").read_bytes() == before


def test_an_averaged_run_is_scored_with_its_average(run_copy: Path, tmp_path: Path) -> None:
    averaged = succeeded(nmt("average", run_copy, "--last", "2"))
    assert averaged.lines == [str(run_copy / "checkpoints" / "average")]
    (tmp_path / "source").write_text("It rains.\nWho?\n\n")
    (tmp_path / "reference").write_text("Es regnet.\nWer?\n\n")
    files = ("--source", tmp_path / "source", "--reference", tmp_path / "reference")
    done = succeeded(nmt("evaluate", run_copy, *files, "--output", tmp_path / "translation", "--json"))
    assert f"{run_copy}: average of 2 checkpoints\n" in done.err
    scores = json.loads(done.out)
    assert scores.keys() == {"bleu", "chrf", "ter", "signatures"}
    assert scores["signatures"].keys() == {"bleu", "chrf", "ter"}
    translation = (tmp_path / "translation").read_text().split("\n")[:-1]
    assert scores["chrf"] == sacrebleu.corpus_chrf(translation, [["Es regnet.", "Wer?", ""]]).score
    opened = run_directory.RunDirectory.open(run_copy)
    (kept,) = opened.evaluations(choose_checkpoint(opened))
    assert (kept["text"], kept["sentences"], kept["decoding"]["beam_size"]) == ("reference", 3, 2)
    assert {name: kept[name] for name in scores} == scores
    again = nmt("evaluate", "--hypothesis", tmp_path / "translation", *files, "--pair", "en-de", "--json")
    assert json.loads(succeeded(again).out) == scores


def test_a_file_is_scored_against_a_bundled_test_set(tmp_path: Path) -> None:
    from keras_nmt.app.evaluation import test_set

    _, references = test_set("sample:tatoeba-en-de", "en-de")
    (tmp_path / "hypothesis").write_text("".join(f"{line}\n" for line in references), encoding="utf-8")
    chosen = ("--test-set", "sample:tatoeba-en-de", "--pair", "en-de")
    done = succeeded(nmt("evaluate", "--hypothesis", tmp_path / "hypothesis", *chosen))
    assert [line.split()[:2] for line in done.lines] == [["BLEU", "100.00"], ["chrF", "100.00"], ["TER", "0.00"]]
    assert done.err == ""


@pytest.mark.slow
def test_an_export_in_bfloat16_is_half_as_large_and_nearly_the_same(export: Path, run: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    assert succeeded(nmt("export", run, "--out", half, "--precision", "bfloat16")).lines == [str(half / "1")]
    sizes, facts = (
        [read(out / "1") for out in (half, export)]
        for read in (
            lambda version: sum(file.stat().st_size for file in (version / "variables").iterdir()),
            lambda version: json.loads((version / "assets.extra" / "nmt.json").read_text())["precision"],
        )
    )
    assert sizes[0] < 0.6 * sizes[1]
    assert facts == ["bfloat16", "float32"]
    stored = (json.loads((out / "1/assets.extra/golden_translations.json").read_text()) for out in (half, export))
    assert [golden["score_tolerance"] for golden in stored] == [1e-2, 1e-4]
    pair = tmp_path / "pair"
    pair.write_text("The dog sleeps.\n")
    scores = [float(nmt("score", out, "--source", pair, "--target", pair).out) for out in (half, export)]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], rel=0.02)


# The command line itself


def test_help_has_an_example_and_does_not_import_tensorflow() -> None:
    code = """
import sys
from keras_nmt.app.cli import VERBS, main
for arguments in (["--help"], *([verb, "--help"] for verb in VERBS)):
    try:
        main(arguments)
    except SystemExit as done:
        print("exit", done.code)
print(sorted({"tensorflow", "keras", "numpy", "sacrebleu"} & set(sys.modules)))
"""
    done = process("-c", code)
    assert done.stderr == b""
    *helps, imported = done.stdout.decode().strip().rsplit("\n", 1)
    answers = helps[0].split("exit 0")
    assert len(answers) == len(VERBS) + 2
    assert all("example: nmt" in answer or "| nmt" in answer for answer in answers[:-1])
    assert imported == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_each_verb_can_be_parsed(verb: str) -> None:
    verbs = next(action for action in build_parser()._actions if action.dest == "verb")
    assert isinstance(verbs.choices, dict)
    epilog = verbs.choices[verb].epilog
    label, _, example = epilog.partition("example: ")
    assert label == ""
    words = shlex.split(example.rpartition("| ")[2])
    assert words[:2] == ["nmt", verb]
    assert build_parser().parse_args(words[1:]).verb == verb


def test_a_closed_output_pipe_ends_the_program_quietly(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one line of text\n")
    command = ["-m", "keras_nmt", "evaluate", "--hypothesis", tmp_path / "text", "--reference", tmp_path / "text"]
    with subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        complaint = running.stderr.read()
    assert (running.returncode, complaint) == (1, b"")


def test_the_settings_of_these_tests_equal_those_of_the_run(run: Path) -> None:
    sections = run_directory.RunDirectory.open(run).configuration.as_sections()
    for setting in TINY:
        section, _, rest = setting.partition(".")
        key, _, value = rest.partition("=")
        assert str(sections[section][key]) == value
