"""`nmt demo`: prepares a bundled corpus, trains, evaluates and exports, with the code of the other commands."""

import argparse
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

from keras_nmt.app.arguments import Verbs
from keras_nmt.app.errors import UserError

if TYPE_CHECKING:
    from keras_nmt.app.commands.demo.demo import Demo, Evaluated, Size
    from keras_nmt.app.decoding.generation.graph import GenerationGraph
    from keras_nmt.app.models.loading import RunModel
    from keras_nmt.app.tasks.task import OutputScores, Task

TASK = "translation"


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt demo` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "demo",
        help="prepare, train, evaluate and export on a bundled corpus, in ten minutes",
        description="Prepares the bundled English-German sentences, trains a small Transformer for some minutes, "
        "scores it on held-out sentences, shows translations and exports a SavedModel. With --task, does the same "
        "for another task and its own bundled corpus, in five minutes.",
        epilog="example: nmt demo --out demo",
    )
    add = parser.add_argument
    add(
        "--task",
        default=TASK,
        metavar="NAME",
        help="what the model will do: translation (default), summarization, parsing, language-model",
    )
    add("--out", type=Path, metavar="DIR", help="folder to write (default: demo; for other tasks demo-NAME)")
    add("--quick", action="store_true", help="take one minute: show all steps, learn little")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs all steps of the demo. A demo that was interrupted resumes where it stopped."""
    from keras_nmt.app.commands.demo.known import DEMOS
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow
    from keras_nmt.app.tasks.known import task_named

    started = time.perf_counter()
    task = task_named(arguments.task)
    demo = DEMOS[task.name]
    import_tensorflow()
    out, size = arguments.out or demo.out, demo.quick if arguments.quick else demo.full
    data, trained = out / "data", out / "run"
    prepare_sample(demo, task, data, size)
    train_sample(demo, data, trained, size, started)
    model = show_scores(demo, task, trained, size)
    exported = export_model(demo, model, out / "export")
    show_next(demo.commands(command(), trained, exported), time.perf_counter() - started)


def heading(text: str) -> None:
    """Prints the heading of a step."""
    from keras_nmt.app.runtime.console import console

    console.rule(f"[bold]{text}", align="left")


def prepare_sample(demo: "Demo", task: "Task", data: Path, size: "Size") -> None:
    """Prepares the bundled corpus, as `nmt prepare` does, unless an earlier demo has prepared it.

    Raises:
        UserError: The earlier demo had another task or another size.
    """
    from keras_nmt.app.commands.prepare import prepare_and_report, sides
    from keras_nmt.pipelines.preparation.prepare import PreparationOptions
    from keras_nmt.pipelines.shards.manifest import Manifest

    heading(f"prepare: {demo.words.prepare}")
    if (data / "manifest.json").is_file():
        earlier = Manifest.load(data)
        if earlier.task != task.name:
            raise UserError(f"{data} belongs to a demo of {earlier.task}; choose another --out")
        if (earlier.options["vocabulary_size"], earlier.options["limit"]) != (size.vocabulary_size, size.pairs):
            raise UserError(f"{data} belongs to a demo of another size (with or without --quick); choose another --out")
        return
    options = PreparationOptions(
        pair=sides(demo.pair, task),
        corpora=(demo.spec,),
        dev=(demo.spec,),
        out=data,
        vocabulary_size=size.vocabulary_size,
        units=demo.units,
        max_tokens=demo.max_tokens,
        limit=size.pairs,
        recipe=task.recipe,
    )
    data.parent.mkdir(parents=True, exist_ok=True)
    prepare_and_report(options)


def train_sample(demo: "Demo", data: Path, out: Path, size: "Size", started: float) -> None:
    """Trains as `nmt train` does with the preset of the demo, and averages the newest checkpoints.

    If the full demo would take too long, trains fewer steps.

    Args:
        demo: The demo.
        data: The prepared data.
        out: The folder of the run.
        size: The size of the demo.
        started: The value of `time.perf_counter()` at the start of the demo.
    """
    from keras_nmt.app.config import load_preset
    from keras_nmt.app.runs.averaging import write_average
    from keras_nmt.app.runs.choice import newest
    from keras_nmt.app.runs.directory import RunDirectory
    from keras_nmt.app.training.planning.time_budget import TimeBudget, train_within
    from keras_nmt.app.training.train import train

    heading(f"train: {demo.words.train}")
    origin, sections = f"preset {demo.preset}", load_preset(demo.preset, demo.settings(size))
    if size is demo.full:
        now = time.perf_counter()
        minutes = demo.minutes.all - demo.minutes.after_training - (now - started) / 60
        most_steps = sections["training"]["steps"]
        budget = TimeBudget(max(minutes, demo.minutes.least_training), started=now, most_steps=most_steps)
        train_within(budget, data, out, sections, origin)
    else:
        train(data, out, sections, origin)
    trained = RunDirectory.open(out)
    averaged = demo.averaged(size, len(trained.checkpoints.in_turn()))
    write_average(trained.checkpoints, newest(trained, averaged))


def show_scores(demo: "Demo", task: "Task", trained: Path, size: "Size") -> "RunModel":
    """Scores the model on held-out text as `nmt evaluate` does, shows output, and returns the model."""
    from keras_nmt.app.commands.prepare import sides
    from keras_nmt.app.evaluation import corpus_lines
    from keras_nmt.app.models.loading import RunModel

    heading(f"evaluate: {demo.words.evaluate}")
    sources, references = (lines[: size.test_pairs] for lines in corpus_lines(demo.spec, sides(demo.pair, task)))
    model = RunModel(trained)
    evaluated, scores = evaluate(task, model, sources, references)
    print("\n".join(scores.lines()), flush=True)
    model.keep_scores(demo.spec, len(sources), scores.as_dict())
    demo.show(model, evaluated)
    return model


def evaluate(
    task: "Task", model: "RunModel", sources: list[str], references: list[str]
) -> tuple["Evaluated", "OutputScores"]:
    """Runs the model on the sources and scores its outputs, or measures the references if the task measures text."""
    from keras_nmt.app.commands.demo.demo import Evaluated
    from keras_nmt.app.commands.evaluate import outputs_of

    if task.measures_text:
        engine = cast("GenerationGraph", model.engine)
        return Evaluated(sources, (), references), task.measure(engine, sources, references)
    outputs = outputs_of(model, sources)
    return Evaluated(sources, outputs, references), task.score(outputs, [references])


def export_model(demo: "Demo", model: "RunModel", out: Path) -> Path:
    """Exports the model as `nmt export` does, and returns the folder of versions, `out`."""
    from keras_nmt.app.exporting import any_task
    from keras_nmt.app.runtime.console import say

    heading("export: a SavedModel, string to string")
    path = any_task.export_model(model, out)
    say(f"{path} (checked: {demo.words.export})")
    return out


def show_next(commands: list[str], seconds: float) -> None:
    """Prints the duration of the demo, `seconds`, in minutes, and commands to try next."""
    from keras_nmt.app.runtime.console import say

    heading(f"done in {seconds / 60:.1f} minutes; try next")
    for line in commands:
        say(line)


def command() -> str:
    """Returns the command that starts this program: `nmt` if the shell finds it, else the path of the program."""
    called = sys.argv[0]
    return "nmt" if shutil.which("nmt") == called or not called.endswith("nmt") else called
