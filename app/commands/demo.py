"""`nmt demo`: prepares the bundled corpus, trains, evaluates and exports, with the code of the other commands."""

import argparse
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.arguments import Verbs
from keras_nmt.app.errors import UserError

if TYPE_CHECKING:
    from keras_nmt.app.models.loading import RunModel

SAMPLE, PAIR = "sample:tatoeba-en-de", "en-de"
SHOWN = 6  # number of translations in the table at the end
MINUTES = 9.5  # time for the whole demo: ten minutes, less the time in which the processes start
MINUTES_AFTER_TRAINING = 1.75  # time for evaluation, export and the check of the export on a slow machine
LEAST_TRAINING_MINUTES = 2.0  # minimum time for training, even if preparation was very slow
# In float32, a training of the same time sees fewer tokens. A smaller model sees more tokens in that time, and Muon
# learns more from each token. With so few tokens, label smoothing does not help (docs/results.md).
FLOAT32_SETTINGS = (
    "model.model_width=128",
    "model.inner_width=512",
    "training.optimizer=muon",
    "training.learning_rate=1e-2",
    "training.label_smoothing=0.0",
    "training.steps=4800",
    "training.checkpoint_every=1200",
    "training.dev_sentences=100",
)


@dataclass(frozen=True)
class Size:
    """The size of the demo: the vocabulary size, the settings, and the numbers of training pairs and test sentences.

    If `pairs` is None, all training pairs are used. If `test_sentences` is None, all test sentences are used.
    """

    vocabulary_size: int
    settings: tuple[str, ...]
    pairs: int | None
    test_sentences: int | None


FULL = Size(vocabulary_size=4000, settings=(), pairs=None, test_sentences=None)
QUICK = Size(
    vocabulary_size=1000,
    settings=("training.steps=40", "training.checkpoint_every=20", "training.dev_sentences=20"),
    pairs=4000,
    test_sentences=50,
)


def add_parser(verbs: Verbs) -> None:
    """Adds the parser of `nmt demo` to `verbs`, the subparsers of `nmt`."""
    parser = verbs.add_parser(
        "demo",
        help="prepare, train, evaluate and export on the bundled corpus, in ten minutes",
        description="Prepares the bundled English-German sentences, trains a small Transformer for some minutes, "
        "scores it on held-out sentences, shows translations and exports a SavedModel.",
        epilog="example: nmt demo --out demo",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="folder to write (default: demo)")
    parser.add_argument("--quick", action="store_true", help="take one minute: show all steps, learn little")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Runs all steps of the demo. A demo that was interrupted resumes where it stopped."""
    from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

    started = time.perf_counter()
    import_tensorflow()
    out, size = arguments.out, QUICK if arguments.quick else FULL
    data, trained = out / "data", out / "run"
    prepare_sample(data, size)
    train_sample(data, trained, size, started)
    model = show_scores(trained, size)
    exported = export_model(model, out / "export")
    show_next(trained, exported, time.perf_counter() - started)


def heading(text: str) -> None:
    """Prints the heading of a step."""
    from keras_nmt.app.runtime.console import console

    console.rule(f"[bold]{text}", align="left")


def prepare_sample(data: Path, size: Size) -> None:
    """Prepares the bundled corpus, as `nmt prepare` does, unless an earlier demo has prepared it.

    Raises:
        UserError: The earlier demo had another size.
    """
    from keras_nmt.app.commands.prepare import prepare_and_report
    from keras_nmt.pipelines.preparation.prepare import PreparationOptions
    from keras_nmt.pipelines.shards.manifest import Manifest
    from keras_nmt.pipelines.sources.corpora import LanguagePair

    heading("prepare: sentence pairs become a vocabulary and shards")
    if (data / "manifest.json").is_file():
        earlier = Manifest.load(data)
        if (earlier.vocabulary_size, earlier.options["limit"]) != (size.vocabulary_size, size.pairs):
            raise UserError(f"{data} belongs to a demo of another size (with or without --quick); choose another --out")
        return
    options = PreparationOptions(
        pair=LanguagePair.parse(PAIR),
        corpora=(SAMPLE,),
        dev=(SAMPLE,),
        out=data,
        vocabulary_size=size.vocabulary_size,
        limit=size.pairs,
    )
    data.parent.mkdir(parents=True, exist_ok=True)
    prepare_and_report(options)


def train_sample(data: Path, out: Path, size: Size, started: float) -> None:
    """Trains as `nmt train --preset demo` does, and averages the newest checkpoints.

    If the full demo would take too long, trains fewer steps.

    Args:
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
    from keras_nmt.app.training.precision import multiplies_bfloat16
    from keras_nmt.app.training.train import train

    heading("train: a Transformer learns to translate")
    origin, in_float32 = "preset demo", size is FULL and not multiplies_bfloat16()
    if size is FULL:
        sections = load_preset("demo", FLOAT32_SETTINGS if in_float32 else ())
        now = time.perf_counter()
        minutes = MINUTES - MINUTES_AFTER_TRAINING - (now - started) / 60
        most_steps = sections["training"]["steps"]
        budget = TimeBudget(max(minutes, LEAST_TRAINING_MINUTES), started=now, most_steps=most_steps)
        train_within(budget, data, out, sections, origin)
    else:
        train(data, out, load_preset("demo", size.settings), origin)
    trained = RunDirectory.open(out)
    # If evaluations are slow, there is only one checkpoint. In float32, the checkpoints differ so much that the last is
    # better than the average.
    averaged = 1 if in_float32 else min(2, len(trained.checkpoints.in_turn()))
    write_average(trained.checkpoints, newest(trained, averaged))


def show_scores(trained: Path, size: Size) -> "RunModel":
    """Translates and scores held-out sentences as `nmt evaluate` does, prints some translations, returns the model."""
    from rich.table import Table

    from keras_nmt.app.commands.evaluate import outputs_of
    from keras_nmt.app.evaluation import score, test_set
    from keras_nmt.app.models.loading import RunModel
    from keras_nmt.app.runtime.console import console

    heading("evaluate: translate sentences the model has not seen")
    sources, references = (lines[: size.test_sentences] for lines in test_set(SAMPLE, PAIR))
    model = RunModel(trained)
    translations = outputs_of(model, sources)
    scores = score(translations, references)
    print("\n".join(scores.lines()), flush=True)
    model.keep_scores(SAMPLE, len(sources), scores.as_dict())
    table = Table("source", "translation", "reference", title=f"the first {SHOWN} of {len(sources)}")
    for row in list(zip(sources, translations, references, strict=True))[:SHOWN]:
        table.add_row(*row)
    console.print(table, markup=False)
    return model


def export_model(model: "RunModel", out: Path) -> Path:
    """Exports the model as `nmt export` does, and returns the path of the exported version."""
    from keras_nmt.app.exporting.export import export
    from keras_nmt.app.runtime.console import say

    heading("export: a SavedModel, string to string")
    path = export(model, out)
    say(f"{path} (checked: a fresh process translates as the run does)")
    return path


def show_next(trained: Path, exported: Path, seconds: float) -> None:
    """Prints the duration of the demo, `seconds`, in minutes, and commands to try next."""
    from keras_nmt.app.runtime.console import say

    nmt = command()
    heading(f"done in {seconds / 60:.1f} minutes; try next")
    say(f'echo "Where is the station?" | {nmt} translate {trained}')
    say(f"{nmt} translate {exported.parent} FILE --scores")
    say(f"{nmt} evaluate {trained} --test-set {SAMPLE} --json")
    say(f"{Path(nmt).with_name('tensorboard')} --logdir {trained}")
    say(f"{nmt} prepare --help    # your own parallel text")


def command() -> str:
    """Returns the command that starts this program: `nmt` if the shell finds it, else the path of the program."""
    called = sys.argv[0]
    return "nmt" if shutil.which("nmt") == called or not called.endswith("nmt") else called
