"""The demo of translation: English sentences of Tatoeba into German, in ten minutes."""

from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.commands.demo.demo import Demo, Evaluated, Minutes, Size, Words

if TYPE_CHECKING:
    from keras_nmt.app.models.loading import RunModel

SHOWN = 6  # number of translations in the table at the end
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


class TranslationDemo(Demo):
    """The demo of translation; see `Demo`."""

    task, sample, out = "translation", "tatoeba-en-de", Path("demo")
    pair = "en-de"
    preset = "demo"
    full = Size(vocabulary_size=4000)
    quick = Size(
        vocabulary_size=1000,
        settings=("training.steps=40", "training.checkpoint_every=20", "training.dev_sentences=20"),
        pairs=4000,
        test_pairs=50,
    )
    minutes = Minutes(all=9.5, after_training=1.75, least_training=2.0)
    words = Words(
        prepare="sentence pairs become a vocabulary and shards",
        train="a Transformer learns to translate",
        evaluate="translate sentences the model has not seen",
        export="a fresh process translates as the run does",
    )

    def settings(self, size: Size) -> tuple[str, ...]:
        """Returns settings of a smaller model if this machine computes the full demo in float32."""
        return FLOAT32_SETTINGS if self._is_in_float32(size) else size.settings

    def averaged(self, size: Size, checkpoints: int) -> int:
        """Returns 2, or 1 with Muon. If evaluations are slow, there is only one checkpoint."""
        return 1 if self._is_in_float32(size) else min(2, checkpoints)

    def _is_in_float32(self, size: Size) -> bool:
        from keras_nmt.app.training.precision import multiplies_bfloat16

        return size is self.full and not multiplies_bfloat16()

    def show(self, model: "RunModel", evaluated: Evaluated) -> None:
        """Prints a table of the first translations."""
        from rich.table import Table

        from keras_nmt.app.runtime.console import console

        title = f"the first {SHOWN} of {len(evaluated.sources)}"
        table = Table("source", "translation", "reference", title=title)
        for row in evaluated.rows()[:SHOWN]:
            table.add_row(*row)
        console.print(table, markup=False)

    def commands(self, nmt: str, trained: Path, exported: Path) -> list[str]:
        """Returns commands that translate, score and prepare."""
        return [
            f'echo "Where is the station?" | {nmt} translate {trained}',
            f"{nmt} translate {exported} FILE --scores",
            f"{nmt} evaluate {trained} --test-set {self.spec} --json",
            f"{Path(nmt).with_name('tensorboard')} --logdir {trained}",
            f"{nmt} prepare --help    # your own parallel text",
        ]
