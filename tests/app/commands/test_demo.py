"""`nmt demo --task`: each demo from its sample to shown output, and what refuses a wrong one."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from keras_nmt.app.commands.demo import language_model
from keras_nmt.app.commands.demo.demo import Evaluated
from keras_nmt.app.commands.demo.known import DEMOS
from keras_nmt.app.commands.demo.parsing import SENTENCE
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.tasks.known import TASKS
from keras_nmt.pipelines.trees.words import ptb_words
from tests.app.command_line import Done, nmt, refusal, succeeded
from tests.app.traced_once import on_one_device

TINY = (
    "model.model_width=16",
    "model.inner_width=16",
    "model.heads=2",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "training.batch_tokens=1024",
    "training.max_length=128",
    "training.steps=2",
    "training.checkpoint_every=2",
    "training.dev_sentences=0",
    "decoding.beam_size=1",
)
SCORES = {
    "translation": "BLEU ",
    "summarization": "ROUGE-1 ",
    "parsing": "EVALB, ",
    "language-model": "perplexity a token",
}
SEARCHED = ("translation", "summarization", "parsing")  # whose search takes long to trace


@dataclass
class Quick:
    """Quick demos with a tiny model, little text and two steps; each is run when it is first needed."""

    folder: Path
    done: dict[str, Done] = field(default_factory=dict)
    exported: list[str] = field(default_factory=list)

    def of(self, task: str) -> Done:
        """Returns what the demo of a task printed."""
        if task not in self.done:
            self.done[task] = succeeded(self.run(task))
        return self.done[task]

    def run(self, task: str) -> Done:
        """Runs or resumes the demo of a task."""
        with on_one_device():
            return nmt("demo", "--task", task, "--quick", "--out", self.folder / task)


@pytest.fixture(scope="module")
def quick(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Quick]:
    """Quick demos that write no export; the tests of the export write one of each task."""
    demos = Quick(tmp_path_factory.mktemp("demos"))

    def export(model: RunModel, out: Path) -> Path:
        demos.exported.append(model.task.name)
        return out / "1"

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("keras_nmt.app.exporting.any_task.export_model", export)
        patch.setattr(language_model, "WRITTEN_CHARACTERS", 12)
        for demo in DEMOS.values():
            size = demo.quick
            tiny = replace(size, settings=(*size.settings, *TINY), pairs=min(size.pairs or 300, 300), test_pairs=1)
            patch.setattr(type(demo), "quick", tiny)
        yield demos


def test_every_task_has_a_demo_with_a_folder_of_its_own() -> None:
    assert {task: demo.task for task, demo in DEMOS.items()} == {task: task for task in TASKS}
    assert len({demo.out for demo in DEMOS.values()}) == len(TASKS)


@pytest.mark.parametrize("task", ["language-model", *(pytest.param(task, marks=pytest.mark.slow) for task in SEARCHED)])
def test_a_demo_prepares_trains_scores_and_exports(quick: Quick, task: str) -> None:
    done = quick.of(task)
    steps = ["prepare", "train", "evaluate", "export"]
    headings = [line.split(":")[0] for line in done.err.split("\n") if "──" in line]
    assert headings[:-1] == steps
    assert headings[-1].startswith("done in ")
    assert done.out.startswith(SCORES[task])
    assert task in quick.exported
    assert f" {TASKS[task].verb} {quick.folder / task / 'run'}" in done.err


class OneTree:
    """A parser that always finds the same tree."""

    task = TASKS["parsing"]

    def translator(self) -> "OneTree":
        return self

    def translate(self, sources: list[str]) -> list[SimpleNamespace]:
        assert sources == [" ".join(ptb_words(SENTENCE))]
        return [SimpleNamespace(text="(TOP (S (NP (DT The) (NNS mice)) (VP (VBP sleep))))")]


def test_the_demo_of_parsing_draws_a_typed_and_a_typical_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    gold, found = "(TOP (S (NP (NN A)) (VP (VB b))))", "(TOP (NP (NN A) (VB b)))"
    typical = " ".join("abcdefgh")
    evaluated = Evaluated(["x y", typical], ["(TOP (X (XX x) (XX y)))", found], ["(TOP (X (XX x) (XX y)))", gold])
    DEMOS["parsing"].show(OneTree(), evaluated)  # type: ignore[arg-type]
    shown = capsys.readouterr()
    assert shown.out == "S\n├─ NP\n│  ├─ DT The\n│  └─ NNS mice\n└─ VP\n   └─ VBP sleep\nNP\n├─ NN A\n└─ VB b\n"
    assert SENTENCE in shown.err
    assert typical in shown.err
    assert f"(by hand: {gold}; F1 0)" in shown.err


def test_the_demo_of_summarization_shows_the_shortest_texts(capsys: pytest.CaptureFixture[str]) -> None:
    texts = ["t" * length for length in (9, 3, 8, 2, 7)]
    evaluated = Evaluated(texts, [f"s{len(text)}" for text in texts], [f"r{len(text)}" for text in texts])
    DEMOS["summarization"].show(OneTree(), evaluated)  # type: ignore[arg-type]
    rows = [line.split() for line in capsys.readouterr().err.split("\n") if "t" * 2 in line and "text" not in line]
    assert [[cell for cell in row if cell not in "│┃"] for row in rows] == [
        ["t" * length, f"s{length}", f"r{length}"] for length in (2, 3, 7, 8)
    ]


def test_the_demo_of_language_models_writes_a_text(quick: Quick) -> None:
    scores, written = quick.of("language-model").out.split("ROMEO:\n")
    assert scores.count("\n") == 3
    assert 0 < len(written) <= 13


@pytest.mark.slow
def test_a_demo_that_was_interrupted_resumes(quick: Quick) -> None:
    first = quick.of("language-model")
    shutil.rmtree(quick.folder / "language-model" / "run" / "checkpoints" / "average")
    again = succeeded(quick.run("language-model"))
    assert again.out == first.out
    assert ("what was dropped" in first.err, "what was dropped" in again.err) == (True, False)


def test_an_unknown_task_is_refused() -> None:
    message = "unknown task 'parse'; did you mean parsing? known: translation, summarization, parsing, language-model"
    assert refusal(nmt("demo", "--task", "parse"), "demo") == message


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--task", "parsing", "--quick"), "a demo of language-model"),
        (("--task", "language-model"), "a demo of another size (with or without --quick)"),
    ],
)
def test_the_folder_of_another_demo_is_refused(quick: Quick, options: tuple[str, ...], reason: str) -> None:
    quick.of("language-model")
    out = quick.folder / "language-model"
    done = nmt("demo", *options, "--out", out)
    assert done.code == 1
    assert done.complaints == [f"nmt demo: {out / 'data'} belongs to {reason}; choose another --out"]


@pytest.mark.slow
@pytest.mark.parametrize("task", ["summarization", "parsing", "language-model"])
def test_the_export_of_a_quick_demo_works(task: str, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    succeeded(nmt("demo", "--task", task, "--quick", "--out", out))
    assert succeeded(nmt(TASKS[task].verb, out / "export", stdin=b"A mouse sees the light.\n")).out
