"""The demo of summarization: descriptions of Debian's packages into one line, in five minutes."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.commands.demo.demo import Demo, Evaluated, Minutes, Size, Words

if TYPE_CHECKING:
    from keras_nmt.app.models.loading import RunModel

SHOWN = 4  # number of summaries in the table at the end


class SummarizationDemo(Demo):
    """The demo of summarization; see `Demo`."""

    task, sample, out = "summarization", "debian-descriptions", Path("demo-summarization")
    preset = "summaries"
    full = Size(
        vocabulary_size=4000,
        settings=(
            "model.encoder_layers=2",
            "model.decoder_layers=2",
            "model.model_width=128",
            "model.inner_width=512",
            "training.batch_tokens=2048",
            "training.max_length=128",
            "training.steps=1600",
            "training.warmup_steps=100",
            "training.checkpoint_every=800",
            "training.dev_sentences=50",
            "decoding.max_source_tokens=127",
            "decoding.max_extra_tokens=20",
        ),
        test_pairs=200,
    )
    quick = Size(
        vocabulary_size=1000,
        settings=(
            *full.settings,
            "model.encoder_layers=1",
            "model.decoder_layers=1",
            "training.steps=40",
            "training.warmup_steps=10",
            "training.checkpoint_every=20",
            "training.dev_sentences=0",
        ),
        pairs=1000,
        test_pairs=20,
    )
    minutes = Minutes(all=4.75, after_training=1.25, least_training=1.0)
    words = Words(
        prepare="descriptions of programs become a vocabulary and shards",
        train="a Transformer learns to write summaries",
        evaluate="summarize descriptions the model has not seen",
        export="a fresh process summarizes as the run does",
    )
    max_tokens = 128

    def show(self, model: "RunModel", evaluated: Evaluated) -> None:
        """Prints a table of some texts, their summaries, and those of their authors."""
        from rich.table import Table

        from keras_nmt.app.runtime.console import console

        title = f"the shortest {SHOWN} of {len(evaluated.sources)}"
        table = Table("text", "summary", "written by a person", title=title, show_lines=True)
        for row in sorted(evaluated.rows(), key=lambda row: len(row[0]))[:SHOWN]:
            table.add_row(*row)
        console.print(table, markup=False)

    def commands(self, nmt: str, trained: Path, exported: Path) -> list[str]:
        """Returns commands that summarize, score, serve and prepare."""
        text = "This package contains a small program that shows the weather of your town in the terminal."
        return [
            f'echo "{text}" | {nmt} summarize {trained}',
            f"{nmt} serve {exported}",
            f"{nmt} evaluate {trained} --test-set {self.spec} --json",
            f"{nmt} prepare --task {self.task} --corpus tsv:FILE …    # your own texts, each with its summary",
        ]
