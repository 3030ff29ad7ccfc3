"""`nmt demo`: the whole road on the bundled corpus, from text to a SavedModel, through the same code as the verbs."""

import argparse
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import UserError

SAMPLE, PAIR = "sample:tatoeba-en-de", "en-de"
SHOWN = 6  # sentences at the end
MINUTES = 9.5  # what the whole demo may take: ten, less the programs' starts
MINUTES_AFTER_TRAINING = 1.75  # scores, export and its check on a slow machine
LEAST_TRAINING_MINUTES = 2.0  # where preparation was very slow
# In float32 fewer tokens fit the time: a smaller model reads more of them, Muon learns more of each, and the model does
# not see enough to need label smoothing (docs/results.md).
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
    """How much of the demo to do."""

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


def add_parser(verbs: Any) -> None:
    """Describes the command."""
    parser = verbs.add_parser(
        "demo",
        help="the whole road on the bundled corpus, in a few minutes",
        description="Prepares the bundled English-German sentences, trains a small Transformer for some minutes, "
        "scores it on held-out sentences, shows translations and exports a SavedModel.",
        epilog="example: nmt demo --out demo",
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="where to work (default: demo)")
    parser.add_argument("--quick", action="store_true", help="a minute's run that shows the road and learns little")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> None:
    """Goes the whole road; one that was interrupted goes on where it stopped."""
    from app.runtime.tensorflow_start import import_tensorflow

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
    """Begins a part."""
    from app.runtime.console import console

    console.rule(f"[bold]{text}", align="left")


def prepare_sample(data: Path, size: Size) -> None:
    """`nmt prepare`, unless an earlier demo did it.

    Raises:
        UserError: The earlier demo was of another size.
    """
    from app.commands.prepare import prepare_and_report
    from pipelines.preparation.prepare import PreparationOptions
    from pipelines.shards.manifest import Manifest
    from pipelines.sources.corpora import LanguagePair

    heading("prepare: sentence pairs become a vocabulary and shards")
    if (data / "manifest.json").is_file():
        earlier = Manifest.load(data)
        if (earlier.vocabulary_size, earlier.options["limit"]) != (size.vocabulary_size, size.pairs):
            raise UserError(f"{data} is of a demo of another size, with or without --quick; choose another --out")
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
    """`nmt train --preset demo` and `nmt average`; the full demo trains fewer steps where they do not fit the time.

    Args:
        data: What was prepared.
        out: The run.
        size: How much to do.
        started: The `time.perf_counter()` at which the demo began.
    """
    from app.config import load_preset
    from app.runs.averaging import write_average
    from app.runs.choice import newest
    from app.runs.directory import RunDirectory
    from app.training.planning.time_budget import TimeBudget, train_within
    from app.training.precision import multiplies_bfloat16
    from app.training.train import train

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
    # There is one checkpoint where evaluations are slow. Few steps lie far apart, and the last is better than the mean.
    averaged = 1 if in_float32 else min(2, len(trained.checkpoints.in_turn()))
    write_average(trained.checkpoints, newest(trained, averaged))


def show_scores(trained: Path, size: Size) -> Any:
    """`nmt evaluate` and `nmt translate` on held-out sentences; gives the model."""
    from rich.table import Table

    from app.commands.evaluate import translate_all
    from app.evaluation import score, test_set
    from app.models.loading import RunModel
    from app.runtime.console import console

    heading("evaluate: sentences it has never seen")
    sources, references = (lines[: size.test_sentences] for lines in test_set(SAMPLE, PAIR))
    model = RunModel(trained)
    translations = translate_all(model, sources)
    scores = score(translations, references)
    print("\n".join(scores.lines()), flush=True)
    model.keep_scores(SAMPLE, len(sources), scores.as_dict())
    table = Table("source", "translation", "reference", title=f"the first {SHOWN} of {len(sources)}")
    for row in list(zip(sources, translations, references, strict=True))[:SHOWN]:
        table.add_row(*row)
    console.print(table, markup=False)
    return model


def export_model(model: Any, out: Path) -> Path:
    """`nmt export`."""
    from app.exporting.export import export
    from app.runtime.console import say

    heading("export: a SavedModel, string to string")
    path = export(model, out)
    say(f"{path} (checked: a fresh process translates as the run does)")
    return path


def show_next(trained: Path, exported: Path, seconds: float) -> None:
    """What to try now."""
    from app.runtime.console import say

    nmt = command()
    heading(f"done in {seconds / 60:.1f} minutes; try next")
    say(f'echo "Where is the station?" | {nmt} translate {trained}')
    say(f"{nmt} translate {exported.parent} FILE --scores")
    say(f"{nmt} evaluate {trained} --test-set {SAMPLE} --json")
    say(f"{Path(nmt).with_name('tensorboard')} --logdir {trained}")
    say(f"{nmt} prepare --help    # your own parallel text")


def command() -> str:
    """How to call this program again: `nmt` where the shell finds it, else the path it was called by."""
    called = sys.argv[0]
    return "nmt" if shutil.which("nmt") == called or not called.endswith("nmt") else called
