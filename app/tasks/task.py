"""The interface of a task: everything that differs between translation, summarization and so on.

A task is one object. It says how pairs become examples (`recipe`), which engine turns input text into output text
(`engine`), and how output is scored (`dev_scores`, `score`). The rest of the program gets the task from the data, the
run or the export (`app.tasks.known`), and calls these methods.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

from keras_nmt.app.errors import UserError
from keras_nmt.app.tasks.samples import table
from keras_nmt.app.tasks.wording import CardWording, PageWording
from keras_nmt.pipelines.preparation.recipes import Recipe
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:  # these modules import TensorFlow, and the command line must start fast
    from keras_nmt.app.decoding.generation.graph import GenerationGraph
    from keras_nmt.app.decoding.network.protocol import Network
    from keras_nmt.app.decoding.options import DecodingOptions
    from keras_nmt.app.decoding.translation_graph import TranslationGraph
    from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary


Piece = Literal["sentence", "line", "text"]
Route = Literal["translate", "generate"]


class OutputScores(Protocol):
    """The scores of a model's output."""

    def as_dict(self) -> dict[str, Any]:
        """Returns the scores as values for JSON."""

    def lines(self) -> list[str]:
        """Returns one line of text for each score."""


class Task(ABC):
    """A task. The methods with a body suit most tasks; a task overrides what differs.

    Attributes:
        name: The name in `nmt prepare --task`, in manifests, and in exports.
        verb: The command that applies a model of this task to text.
        output: The noun for one output, such as "translation".
        roles: The names of input and output if both are in one language: file suffixes, fields of JSON lines. None if
            the two sides are languages, which the user names.
        metric_label: The name of the metric in messages.
        in_ctranslate2: True if the engine of CTranslate2 does this task.
        recipe: How pairs of text become examples.
        metric: The name of the dev metric that ranks checkpoints; `dev_scores` returns it as `dev_{metric}`. None if no
            output is scored, and the dev loss ranks checkpoints.
        measures_text: True if `nmt evaluate` measures how probable given text is (`measure`), and no output is scored.
        route: The route of the server's interface, below /api, that applies a model of this task.
        piece: What the model reads at once. A server cuts a text into these pieces, and joins their outputs.
        card: The words of the model card.
        page: The words of the web page.
    """

    name: str
    verb: str
    output: str
    roles: LanguagePair | None
    metric_label: str
    in_ctranslate2: bool
    measures_text: bool = False
    recipe: Recipe
    metric: str | None
    route: Route = "translate"
    piece: Piece
    card: CardWording
    page: PageWording

    @abstractmethod
    def title(self, languages: Languages) -> str:
        """Returns the title of a model card for a model of these languages."""

    def prepared(self, text: str) -> str:
        """Returns the input of the model for a text that a person has written: here the text."""
        return text

    def given(self, text: str, output: str) -> str:
        """Returns an output that is given for a text in the form in which the signature `score` reads it.

        Raises:
            UserError: It is not an output for this text.
        """
        return output

    def model_settings(self, pieces: Sequence[str], given: Mapping[str, object]) -> dict[str, Any]:
        """Returns the fields of `TransformerConfig` that the task decides, with their values.

        Args:
            pieces: The pieces of the vocabulary.
            given: The section [model] of the preset, with the user's changes.
        """
        return {}

    @abstractmethod
    def engine(
        self, transformer: "Network", vocabulary: "AnyVocabulary", options: "DecodingOptions"
    ) -> "TranslationGraph | GenerationGraph":
        """Returns the engine that turns input text into output text."""

    def ensemble(self, members: Sequence["Network"]) -> "Network":
        """Returns the ensemble of several networks with the same vocabulary."""
        from keras_nmt.app.decoding.network.ensemble import Ensemble

        return Ensemble(members)

    def runner(self, engine: "TranslationGraph | GenerationGraph") -> Callable[[list[str]], list[str]]:
        """Returns a function that computes the output for each of some inputs, as at an evaluation in training.

        Args:
            engine: The engine that `engine` returned.
        """
        from keras_nmt.app.decoding.translator import Translator

        translator = Translator(engine.signatures())
        return lambda lines: [output.text for output in translator.translate(lines)]

    def samples(self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str]) -> str:
        """Returns outputs beside their inputs and references as Markdown: here a table with a row for each."""
        rows = zip(sources, outputs, references, strict=True)
        return table((self.card.input, self.output, "reference"), rows)

    def check_scoring(self, languages: Sequence[str], tokenizer: str | None = None) -> None:  # noqa: B027  # most need none
        """Raises `UserError` if a package is missing that scoring needs for these languages of the output."""

    @abstractmethod
    def dev_scores(
        self, sources: Sequence[str], outputs: Sequence[str], references: Sequence[str], languages: Languages
    ) -> dict[str, float]:
        """Scores the outputs for dev sources; returns the scores by name. One is `dev_{metric}`, if `metric` is set."""

    def measure(self, engine: "GenerationGraph", sources: Sequence[str], texts: Sequence[str]) -> OutputScores:
        """Measures how well a model predicts texts.

        Args:
            engine: The engine of the model.
            sources: The sources of the pairs, as the corpus yields them.
            texts: The targets of the pairs.

        Raises:
            UserError: The task has no such measure, or there is no text.
        """
        raise UserError(f"{self.name} is scored by its output; give a source and references")

    @abstractmethod
    def score(
        self,
        outputs: Sequence[str],
        references: Sequence[Sequence[str]],
        *,
        language: str = "",
        tokenizer: str | None = None,
    ) -> OutputScores:
        """Scores outputs for `nmt evaluate`.

        Args:
            outputs: The outputs.
            references: One or more sequences of references, each with one reference for each output.
            language: The language of the outputs.
            tokenizer: The name of the tokenizer that the metric uses; None for the one of the language.

        Raises:
            UserError: The numbers of outputs and references differ, there is nothing to score, a package is missing, or
                output of this task is not scored.
        """
