"""`nmt demo --task`: each demo from its sample to shown output, and what refuses a wrong one."""

import itertools
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from keras_nmt.app.commands.demo.known import DEMOS
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.tasks.known import TASKS
from tests.app.command_line import Done, nmt, refusal, succeeded

TINY = (
    "model.model_width=16",
    "model.inner_width=16",
    "model.heads=2",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "training.batch_tokens=1024",
    "training.steps=2",
    "training.checkpoint_every=2",
    "training.dev_sentences=1",
    "decoding.beam_size=1",
    "decoding.max_extra_tokens=20",
)
SCORES = {
    "translation": "BLEU ",
    "summarization": "ROUGE-1 ",
    "parsing": "recall",
    "language-model": "perplexity a token",
}


@pytest.fixture
def exported(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tasks of the models that were exported; nothing is written. Tests of the export write one of each task."""
    tasks: list[str] = []

    def export(model: RunModel, out: Path) -> Path:
        tasks.append(model.task.name)
        return out / "1"

    monkeypatch.setattr("keras_nmt.app.exporting.export.export", export)
    return tasks


def quick(task: str, out: Path, monkeypatch: pytest.MonkeyPatch) -> Done:
    """Runs the quick demo of a task with a tiny model, little text and few steps."""
    demo = type(DEMOS[task])
    size = demo.quick
    tiny = replace(size, settings=(*size.settings, *TINY), pairs=min(size.pairs or 0, 300), test_pairs=1)
    monkeypatch.setattr(demo, "quick", tiny)
    return succeeded(nmt("demo", "--task", task, "--quick", "--out", out))


def test_every_task_has_a_demo() -> None:
    assert {task: demo.task for task, demo in DEMOS.items()} == {task: task for task in TASKS}
    assert len({demo.out for demo in DEMOS.values()}) == len(TASKS)


@pytest.mark.parametrize("task", TASKS)
def test_a_demo_prepares_trains_scores_shows_and_exports(
    task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: list[str]
) -> None:
    done = quick(task, tmp_path / "demo", monkeypatch)
    headings = ["prepare: ", "train: ", "evaluate: ", *(["export: "] if TASKS[task].exported else []), "done in "]
    begins = [line for line in done.err.split("\n") for heading in headings if line.startswith(heading)]
    assert [line for line, heading in zip(begins, headings, strict=True) if not line.startswith(heading)] == []
    assert done.out.lstrip().startswith(SCORES[task])
    assert exported == ([task] if TASKS[task].exported else [])
    assert f"nmt {TASKS[task].verb} {tmp_path / 'demo' / 'run'}".split(" ", 1)[1] in done.err


def test_the_demo_of_parsing_draws_trees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: list[str]) -> None:
    done = quick("parsing", tmp_path / "demo", monkeypatch)
    drawing = [line for line in done.out.split("\n") if "─ " in line]
    words = [line.split(" ")[-1] for line in drawing]
    own = "The mice with the mutation ca n't see the light .".split()
    assert [word for word in words if word in own][: len(own)] == own


def test_the_demo_of_language_models_writes_a_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: list[str]
) -> None:
    monkeypatch.setattr("keras_nmt.app.commands.demo.language_model.WRITTEN_CHARACTERS", 12)
    done = quick("language-model", tmp_path / "demo", monkeypatch)
    scores, written = done.out.split("ROMEO:\n")
    assert scores.count("\n") == 3
    assert 0 < len(written) <= 13


def test_a_demo_that_was_interrupted_resumes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: list[str]
) -> None:
    first = quick("language-model", tmp_path / "demo", monkeypatch)
    shutil.rmtree(tmp_path / "demo" / "run" / "checkpoints" / "average")
    again = succeeded(nmt("demo", "--task", "language-model", "--quick", "--out", tmp_path / "demo"))
    assert again.out == first.out
    assert ("what was dropped" in first.err, "what was dropped" in again.err) == (True, False)


def test_an_unknown_task_is_refused() -> None:
    message = "unknown task 'parse'; did you mean parsing? known: translation, summarization, parsing, language-model"
    assert refusal(nmt("demo", "--task", "parse"), "demo") == message


def test_the_folder_of_another_demo_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exported: list[str]
) -> None:
    out = tmp_path / "demo"
    quick("language-model", out, monkeypatch)
    for options, reason in (
        (("--task", "parsing", "--quick"), "a demo of language-model"),
        (("--task", "language-model"), "a demo of another size (with or without --quick)"),
    ):
        found = refusal(nmt("demo", *options, "--out", out), "demo")
        assert found == f"{out / 'data'} belongs to {reason}; choose another --out"


@pytest.mark.slow
@pytest.mark.parametrize("task", [name for name, task in TASKS.items() if task.exported])
def test_the_export_of_a_demo_works(task: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    quick(task, out, monkeypatch)
    done = succeeded(nmt(TASKS[task].verb, out / "export", stdin=b"A mouse sees the light.\n"))
    assert len(list(itertools.takewhile(bool, done.lines))) == 1
