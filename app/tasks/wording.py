"""What people read about a task: in the model card of an export, and on the server's web page."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal, NamedTuple


class Measure(NamedTuple):
    """A score in a model card.

    Attributes:
        heading: The heading of its column.
        evaluated: The key of the score in a result of `nmt evaluate`; "a.b" for the key "b" of the object "a".
        dev: The key of the score in a dev result; "" if it is not measured on the dev set.
        hub: The name of the metric on the Hugging Face Hub.
    """

    heading: str
    evaluated: str
    dev: str
    hub: str

    def of(self, evaluation: dict[str, object]) -> object:
        """Returns the value of the score in a result of `nmt evaluate`."""
        value: object = evaluation
        for key in self.evaluated.split("."):
            value = value[key] if isinstance(value, dict) else None
        return value


@dataclass(frozen=True)
class CardWording:
    """The words of a model card that differ between tasks.

    Attributes:
        pipeline_tag: The task's name on the Hugging Face Hub.
        tags: Further names to find the model by.
        introduction: Sentences that say what the model does; may be empty.
        input: The noun for one input, such as "source".
        outputs: The plural of `Task.output`.
        examples: What an example text from the dev set is, in the plural, such as "sentences".
        vocabulary: What the pieces of the vocabulary are used for.
        room: What `max_extra_tokens` limits, as the end of "up to 50 …".
        usage: A sentence on the form of the input; may be empty.
        measures: The scores of `nmt evaluate` and of the dev set.
        dev_measure: The program that measures the dev scores.
        evaluated_by: The end of "Measured by `nmt evaluate` with the run in float32".
        limits: The limits of the model. "{max_source_tokens}" is replaced by the number.
        template: The file of the card's text, in `app/exporting`.
    """

    pipeline_tag: str
    tags: tuple[str, ...]
    introduction: str
    input: str
    outputs: str
    examples: str
    vocabulary: str
    room: str
    usage: str
    measures: tuple[Measure, ...]
    dev_measure: str
    evaluated_by: str
    limits: tuple[str, ...]
    template: str = "model_card.md.jinja"


@dataclass(frozen=True)
class PageWording:
    """The words of the web page that differ between tasks.

    Attributes:
        heading: The name of the view.
        input: The name of the field for the text.
        placeholder: What the empty field shows.
        busy: What is shown while the model works.
        hint: What is shown below the text.
        display: How an output is shown: as text, drawn as a tree, or as text that is being written.
    """

    heading: str
    input: str
    placeholder: str
    busy: str
    hint: str
    display: Literal["text", "tree", "generation"] = field(default="text")


def joined(names: Iterable[str], word: str) -> str:
    """Joins names with commas and `word`, such as "de, en and fr"."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last
