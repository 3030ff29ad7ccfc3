"""The demo of language models: the characters of Shakespeare's plays, in five minutes."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.app.commands.demo.demo import Demo, Evaluated, Minutes, Size, Words
from keras_nmt.pipelines.vocabulary.exact import CHARACTERS

if TYPE_CHECKING:
    from keras_nmt.app.models.loading import RunModel

PROMPT = "ROMEO:\n"
WRITTEN_CHARACTERS = 500
TEMPERATURE = 0.8
SEED = 3


class LanguageModelDemo(Demo):
    """The demo of language models; see `Demo`."""

    task, sample, out = "language-model", "tinyshakespeare", Path("demo-language-model")
    preset = "language-model"
    full = Size(
        vocabulary_size=None,
        settings=(
            "training.optimizer=muon",
            "training.learning_rate=1e-2",
            "training.steps=1400",
            "training.warmup_steps=100",
            "training.checkpoint_every=700",
        ),
    )
    quick = Size(
        vocabulary_size=None,
        settings=(*full.settings, "training.steps=60", "training.warmup_steps=10", "training.checkpoint_every=30"),
        pairs=2,
        test_pairs=1,
    )
    minutes = Minutes(all=4.75, after_training=0.75, least_training=1.0)
    words = Words(
        prepare="plays become characters in blocks",
        train="a Transformer learns which character comes next",
        evaluate="measure how well the model predicts text that it has not seen",
        export="a fresh process writes as the run does",
    )
    units = CHARACTERS
    max_tokens = 64

    def show(self, model: "RunModel", evaluated: Evaluated) -> None:
        """Writes a text while one watches."""
        from keras_nmt.app.runtime.console import say

        generator = model.generator()
        settings = generator.steps.settings.changed({"temperature": TEMPERATURE, "max_tokens": WRITTEN_CHARACTERS})
        say("")
        print(PROMPT, end="", flush=True)
        for part in generator.generate(PROMPT, seed=SEED, settings=settings):
            sys.stdout.write(part)
            sys.stdout.flush()
        print(flush=True)

    def commands(self, nmt: str, trained: Path, exported: Path) -> list[str]:
        """Returns commands that write, measure and prepare."""
        return [
            f"{nmt} generate {trained} --prompt $'JULIET:\\n' --temperature 0.8",
            f"{nmt} serve {exported}",
            f"{nmt} evaluate {trained} --test-set {self.spec} --json",
            f"{nmt} prepare --task {self.task} --corpus text:FILE …    # your own text",
        ]
