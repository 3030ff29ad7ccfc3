"""Writes the model card, README.md of an export: what the model is, its training data, scores and limits.

The format is that of the Hugging Face Hub: YAML between two lines of dashes, then Markdown. The card states only what
the run has recorded. `model_card.md.jinja` is its text, parts of which other templates replace; the functions here
compute the values in it. `usage` writes the part that shows how to call the model.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from keras_nmt.app.exporting.golden_translations import GoldenTranslation
from keras_nmt.app.models.exports import task_of
from keras_nmt.app.tasks.task import Task
from keras_nmt.app.tasks.wording import joined
from keras_nmt.pipelines.vocabulary.tags import Languages, domain_tag, language_tag, tagged

SHOWN = 5  # number of translations in the card
LONGEST_CELL = 400  # characters

RunFacts = Mapping[str, Any]


def model_card(facts: RunFacts, translations: Sequence[GoldenTranslation], usage: str) -> str:
    """Writes the card of one version of an export.

    Args:
        facts: The contents of assets.extra/nmt.json.
        translations: Example translations by the model.
        usage: The description of how to call the model, in Markdown.
    """
    shown = [line for line in translations if line.text][:SHOWN]
    computed = _computed(facts)
    return _template(computed["card"].template).render(facts, **computed, translations=shown, usage=usage)


def _template(file: str) -> Template:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        autoescape=False,  # Markdown; `cell` escapes foreign text
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {
        "cell": _cell,
        "joined": joined,
        "json": json.dumps,
        "origin": _origin,
        "thousands": "{:,}".format,
    }
    return environment.get_template(file)


def _computed(facts: RunFacts) -> dict[str, Any]:
    """Computes the values of the card that are not in the facts themselves."""
    languages, task = Languages.of(facts["run"]), task_of(facts)
    return {
        "task": task,
        "card": task.card,
        "languages": languages,
        "all_languages": [] if task.roles else _all_languages(languages),
        "one_pair": len(languages.pairs) == 1,
        **_tags(languages),
        "engine": "ctranslate2" if facts.get("format") == "ctranslate2" else "tensorflow",
        "metrics": _metrics(facts, task),
        "signatures": _signatures(facts["evaluations"], task),
        "dev_figures": _dev_figures(languages, task),
        "data_licences": _data_licences(facts["run"]),
        "configuration": tomli_w.dumps({name: facts[name] for name in ("model", "training", "decoding")}),
    }


def _all_languages(languages: Languages) -> list[str]:
    return list(dict.fromkeys(language for pair in languages.pairs for language in (pair.source, pair.target)))


def _tags(languages: Languages) -> dict[str, Any]:
    """Returns the tags that a text begins with, as Markdown, and an example of a text that has them."""
    targets = languages.targets if len(languages.targets) > 1 else ()
    tags = languages.tags_of(languages.targets[-1], next(iter(languages.domains), None))
    return {
        "language_tags": [f"`{language_tag(name)}`" for name in targets],
        "domain_tags": [f"`{domain_tag(name)}`" for name in languages.domains],
        "tagged_example": tagged("…", tags),
    }


def _metrics(facts: RunFacts, task: Task) -> list[str]:
    """Returns the Hub's names of the metrics that the card has scores of."""
    on_dev = {key for line in facts["dev_results"] for key in line}
    measured = [one.hub for one in task.card.measures if facts["evaluations"] or one.dev in on_dev]
    return list(dict.fromkeys(measured))


def _signatures(evaluations: Sequence[RunFacts], task: Task) -> dict[str, str]:
    """Returns the signatures of the scores, by the name of one score or of all: how they were computed."""
    if not evaluations:
        return {}
    newest = evaluations[-1]
    whole = {task.card.dev_measure: newest["signature"]} if "signature" in newest else {}
    return {**newest.get("signatures", {}), **whole}


def _dev_figures(languages: Languages, task: Task) -> dict[str, str]:
    """Returns the headings of the columns of the dev scores, with their keys in a dev result."""
    of_each = languages.targets if len(languages.targets) > 1 else ()
    measures = [one for one in task.card.measures if one.dev]
    figures = {one.heading: one.dev for one in measures}
    figures |= {f"{one.heading} {name}": f"{one.dev}_{name}" for one in measures for name in of_each}
    return figures | {"loss": "dev_loss", "perplexity": "dev_perplexity"}


def _data_licences(run: RunFacts) -> list[str]:
    """Returns the corpora whose licence is known, each once."""
    origins = [origin for split in run.get("corpora", {}).values() for origin in split["origins"]]
    return sorted({_origin(origin) for origin in origins if "licence" in origin})


def _origin(origin: RunFacts) -> str:
    """Formats the name of a corpus with its licence and attribution, if known."""
    known = [str(origin[key]) for key in ("licence", "attribution") if key in origin]
    return f"`{origin['spec']}`" + (f" ({', '.join(known)})" if known else "")


def _cell(text: str) -> str:
    """Escapes special characters of Markdown in a text for a table cell, and cuts a text that is long.

    A line break becomes `<br>`, and another control character, which an untrained model may write, U+FFFD.
    """
    text = text if len(text) <= LONGEST_CELL else f"{text[:LONGEST_CELL].rpartition(' ')[0]} …"
    for special in "\\|`*_<>[]":
        text = text.replace(special, f"\\{special}")
    shown = ("\ufffd" if unicodedata.category(one) == "Cc" and one not in "\n\t" else one for one in text)
    return "".join(shown).replace("\n", "<br>")
