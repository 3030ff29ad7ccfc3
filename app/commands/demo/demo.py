"""The interface of a demo: everything that differs between the demos of translation, summarization and so on.

A demo is one object for each task. It names the bundled sample, the sizes and the time, and it shows output of the
trained model. The steps are the same for all (`app.commands.demo.command`).
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from keras_nmt.pipelines.vocabulary.exact import PIECES

if TYPE_CHECKING:
    from keras_nmt.app.models.loading import RunModel


@dataclass(frozen=True)
class Size:
    """The size of a demo.

    Attributes:
        vocabulary_size: The number of pieces of the vocabulary; None if the units decide it.
        settings: The settings that differ from the preset, as of `nmt train --set`.
        pairs: The number of training pairs; None for all.
        test_pairs: The number of test pairs; None for all.
    """

    vocabulary_size: int | None
    settings: tuple[str, ...] = ()
    pairs: int | None = None
    test_pairs: int | None = None


@dataclass(frozen=True)
class Minutes:
    """The time of a full demo on a slow machine, in minutes.

    Attributes:
        all: The time of the whole demo, less the time in which processes start.
        after_training: The time of evaluation, export and the check of the export.
        least_training: The minimum time for training, even if preparation was very slow.
    """

    all: float
    after_training: float
    least_training: float


@dataclass(frozen=True)
class Words:
    """What the steps of a demo do, for their headings; for the export, what its check has shown."""

    prepare: str
    train: str
    evaluate: str
    export: str


@dataclass(frozen=True)
class Evaluated:
    """Held-out pairs and the model's outputs for them; there are no outputs if given text was measured."""

    sources: Sequence[str]
    outputs: Sequence[str]
    references: Sequence[str]

    def rows(self) -> list[tuple[str, str, str]]:
        """Returns the source, the output and the reference of each pair."""
        return list(zip(self.sources, self.outputs, self.references, strict=True))


class Demo(ABC):
    """The demo of a task. The methods with a body suit most demos.

    Attributes:
        task: The name of the task.
        sample: The name of the bundled sample.
        out: The folder that is written if the user names none.
        preset: The preset of `nmt train`.
        full: The size of the demo.
        quick: The size with `--quick`.
        minutes: The time that the full demo may take.
        words: The headings of the steps.
        pair: The direction of translation; None for other tasks.
        units: The units of the vocabulary.
        max_tokens: The maximum number of tokens on a side, or the length of a language model's blocks.
    """

    task: str
    sample: str
    out: Path
    preset: str
    full: Size
    quick: Size
    minutes: Minutes
    words: Words
    pair: str | None = None
    units: str = PIECES
    max_tokens: int = 256

    @property
    def spec(self) -> str:
        """The SPEC of the sample."""
        return f"sample:{self.sample}"

    def settings(self, size: Size) -> tuple[str, ...]:
        """Returns the settings that differ from the preset on this machine."""
        return size.settings

    def averaged(self, size: Size, checkpoints: int) -> int:
        """Returns how many of the newest checkpoints are averaged, of `checkpoints` that there are.

        With Muon, checkpoints differ so much that the last is better than an average.
        """
        return 1

    @abstractmethod
    def show(self, model: "RunModel", evaluated: Evaluated) -> None:
        """Shows output of the model."""

    @abstractmethod
    def commands(self, nmt: str, trained: Path, exported: Path) -> list[str]:
        """Returns commands to try next.

        Args:
            nmt: The command that starts this program.
            trained: The run.
            exported: The folder of the export's versions.
        """
