"""Writes the view "Inside the Transformer" as one HTML file, which needs no server and loads nothing."""

import json
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from keras_nmt.app.decoding.inside.signatures import INSIDE, INSIDE_LAYER
from keras_nmt.app.errors import UserError
from keras_nmt.app.models.export_layout import newest_version
from keras_nmt.app.runs.directory import PROGRAM, RunDirectory, version_of
from keras_nmt.app.server.engine.versions import Direction, Version
from keras_nmt.app.server.saved_page.modules import PREFIX, data_url, import_map
from keras_nmt.app.server.saved_page.numbers import Fields, SavedNumbers
from keras_nmt.app.server.saved_page.run_version import RunVersion
from keras_nmt.pipelines.language_codes import match

PAGE = Path(__file__).parents[1] / "page"
ENTRY = "inside/saved.js"
STYLES = ("style.css", "inside/inside.css")
LONGEST_TITLE = 80  # characters of the sentence


def loaded_version(path: Path, checkpoint: str | None) -> Version:
    """Loads a run or an export.

    Args:
        path: A run, an export, or one version of an export.
        checkpoint: The checkpoint of a run; None for the one that `nmt translate` uses.

    Raises:
        UserError: There is no model, it does not have the checkpoint, it is damaged, or it cannot show its numbers.
    """
    if RunDirectory.is_run(path):
        return RunVersion(path, checkpoint)
    folder = newest_version(path)
    if folder is None:
        found = "it holds neither" if path.is_dir() else "there is no such folder"
        raise UserError(f"{path} is not a model: expected a run of `nmt train` or an export of `nmt export`; {found}")
    if checkpoint is not None:
        raise UserError(f"{path} was exported from one checkpoint; leave --checkpoint out, or name the run")
    version = Version(folder.resolve().parent.name, folder)
    if not {INSIDE, INSIDE_LAYER} <= version.definitions.keys():
        raise UserError(
            f"{path} has no signature `inside`: exports of ensembles, exports for CTranslate2 and exports of older "
            "versions of nmt cannot show their numbers; name a run, or export it again with `nmt export`"
        )
    return version


def direction_of(version: Version, target: str | None, domain: str | None) -> Direction:
    """Returns the direction into a target language, which may be None if the model has only one.

    Raises:
        DataError: The model does not have the language or the domain, or has several target languages.
    """
    languages = version.languages
    languages.tags_of(target, domain)  # checks both
    same = (pair for pair in languages.pairs if target is None or match(target, [pair.target]))
    pair = next(same)
    return Direction(version, pair.source, pair.target, domain)


def page_of(direction: Direction, numbers: SavedNumbers, timing: Fields, *, layer: int, head: int) -> str:
    """Returns the page as HTML.

    Args:
        direction: The model.
        numbers: The numbers of the sentence.
        timing: The times of layers on this machine.
        layer: The layer that is chosen when the page is opened, from 0.
        head: The head that is chosen, from 0.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, autoescape=True
    )
    sentence, version = " ".join(numbers.overview["sentence"].split()), version_of(PROGRAM)
    short = sentence if len(sentence) <= LONGEST_TITLE else f"{sentence[: LONGEST_TITLE - 1]}…"
    start = {"layer": layer, "head": head}
    saved = {"overview": numbers.overview, "layers": numbers.layers, "timing": timing, "start": start}
    styles = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in STYLES)
    return environment.get_template("page.html.jinja").render(
        title=f"{short}: inside the Transformer",
        icon=data_url((PAGE / "icon.svg").read_text(encoding="utf-8"), "image/svg+xml"),
        style=styles.replace("</", "<\\/"),
        modules=script_json({"imports": import_map(PAGE, ENTRY)}),
        numbers=script_json(saved),
        origin=origin_of(direction, version),
        entry=PREFIX + ENTRY,
        version=version,
    )


def origin_of(direction: Direction, version: str) -> str:
    """Returns a sentence that says which model computed the numbers, and which program wrote the page."""
    model = direction.version
    kind = "checkpoint of step" if isinstance(model, RunVersion) else "version"
    return f"Model: {model.model}, {kind} {model.number}. Written by nmt {version}."


def script_json(value: Any) -> str:
    """Returns a value as JSON for a <script> element, which a `<` inside a string cannot end."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
