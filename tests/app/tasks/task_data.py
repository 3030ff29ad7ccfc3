"""Small data and a small training of each task besides translation."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.app.command_line import Done, nmt, train_arguments
from tests.app.tasks.corpora import write_running_text, write_summaries, write_trees
from tests.app.traced_once import on_one_device


@dataclass(frozen=True)
class TaskData:
    """What differs between the tasks in preparing data and training a run.

    Attributes:
        name: The name of the task.
        write: Writes the corpus and the dev set into a new folder.
        corpus: The specification of the corpus, with {} for the folder.
        dev: The specification of the dev set.
        options: Further options of `nmt prepare`.
        settings: Settings of the training beside those of every small training.
    """

    name: str
    write: Callable[[Path], None]
    corpus: str
    dev: str
    options: tuple[str, ...]
    settings: tuple[str, ...]

    def prepare(self, folder: Path, *options: str | Path) -> Done:
        """Prepares the corpus in a folder into `folder / "data"`, in this process; later options win."""
        specs = ("--corpus", self.corpus.format(folder), "--dev", self.dev.format(folder))
        fixed = ("--task", self.name, *specs, *self.options, "--workers", "1", "--out", folder / "data")
        return nmt("prepare", *fixed, *options)

    def train(self, data: Path, out: Path, *settings: str) -> Done:
        """Trains a run on prepared data, on one device; later settings win."""
        with on_one_device():
            return nmt(*train_arguments(data, out, *self.settings, *settings))


PARSING = TaskData(
    "parsing",
    write_trees,
    "trees:{}/train.trees",
    "trees:{}/dev.trees",
    ("--vocabulary-size", "384"),
    ("training.max_length=256", "training.batch_tokens=2048", "decoding.max_extra_tokens=60"),
)
SUMMARIZATION = TaskData(
    "summarization",
    write_summaries,
    "tsv:{}/train.tsv",
    "jsonl:{}/dev.jsonl",
    ("--vocabulary-size", "296", "--max-tokens", "95", "--near-duplicates", "1"),
    ("model.copying=true", "training.max_length=96", "decoding.max_source_tokens=95"),
)
LANGUAGE_MODEL = TaskData(
    "language-model",
    write_running_text,
    "text:{}/train.txt",
    "text:{}/dev.txt",
    ("--units", "characters", "--max-tokens", "16"),
    ("training.steps=40", "training.checkpoint_every=20", "training.max_length=16", "training.batch_tokens=512"),
)
ALL = (PARSING, SUMMARIZATION, LANGUAGE_MODEL)
