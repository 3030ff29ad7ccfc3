"""An export as a MODEL on the command line and in the server: loaded without a line of what trains."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import tensorflow as tf

from app.decoding.given_translations import Aligner, Scorer
from app.decoding.options import DecodingOptions
from app.decoding.translator import BATCH_TOKENS, BEST, WINDOW_LINES, Request, Translator
from app.errors import UserError
from app.runtime.processors import processors
from app.serving.layout import DESCRIPTION, is_ctranslate2
from pipelines.corpora import LanguagePair
from pipelines.errors import DataError
from pipelines.tags import Languages


class Model(Protocol):
    """What the commands need of a model."""

    @property
    def languages(self) -> Languages:
        """What it translates."""

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Lines in, translations out."""

    def scorer(self) -> Scorer:
        """Pairs of lines in, scores out."""

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Pairs of lines in, alignments out."""


def load_export(version: Path, given: dict[str, Any]) -> "ExportModel | CTranslate2Model":
    """One version of an export, with the given settings of the search, where not None, in place of its own.

    Raises:
        UserError: It is damaged, or needs CTranslate2 and that is not installed.
    """
    if is_ctranslate2(version):
        return CTranslate2Model.of_export(version, given)
    return ExportModel(version, given)


class ExportModel:
    """One version of an export, a SavedModel."""

    def __init__(self, version: Path, given: dict[str, Any]) -> None:
        self.version = version
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            self.languages = languages_of(description)
            self.examples = list(description["run"].get("examples") or [])
            options = DecodingOptions(**description["decoding"])
            self.loaded = tf.saved_model.load(str(version))
        self.options = overridden(options, given)

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Translates with the SavedModel's signatures."""
        check_hypotheses(request, self.options.beam_size)
        return Translator(
            self.loaded.signatures,
            self.options,
            request=request,
            window_lines=window_lines,
            batches_at_once=batches_at_once,
        )

    def scorer(self) -> Scorer:
        """Scores with the SavedModel's signature."""
        return Scorer(self.loaded.signatures, self.options.length_penalty)

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Aligns with the SavedModel's signature."""
        return Aligner(self.loaded.signatures, window_lines=window_lines)


class CTranslate2Model:
    """A model in CTranslate2's format, loaded."""

    def __init__(self, folder: Path, languages: Languages, options: DecodingOptions) -> None:
        self.languages = languages
        self.options = options
        from app.decoding.ctranslate2_graph import CTranslate2Graph

        self.graph = CTranslate2Graph(folder, options, workers=processors(), threads=1)

    @classmethod
    def of_export(cls, version: Path, given: dict[str, Any]) -> "CTranslate2Model":
        """One version of an export, with the given settings of the search in place of its own."""
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            options, languages = DecodingOptions(**description["decoding"]), languages_of(description)
        options = overridden(options, given)
        with reporting_damage(version):
            return cls(version, languages, options)

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Translates, so many lines in a batch that each of the engine's own workers has some."""
        check_hypotheses(request, self.options.beam_size)
        batch_tokens = BATCH_TOKENS * self.graph.engine.num_translators
        return Translator(
            self.graph.signatures(), request=request, batch_tokens=batch_tokens, window_lines=window_lines
        )

    def scorer(self) -> Scorer:
        """Scores."""
        return Scorer(self.graph.signatures())

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Is not there.

        Raises:
            UserError: Always.
        """
        raise UserError("this engine gives no alignments; translate with the run, or export it as a SavedModel")


def languages_of(description: Mapping[str, Any]) -> Languages:
    """What an export translates, by its description; older ones name but one pair."""
    pairs = description.get("pairs") or [description["pair"]]
    return Languages(
        tuple(LanguagePair(*pair.partition("-")[::2]) for pair in pairs), tuple(description.get("domains", ()))
    )


@contextmanager
def reporting_damage(version: Path) -> Iterator[None]:
    """Turns what is seen when an export's files are damaged into one line.

    Raises:
        UserError: In its place.
    """
    try:
        yield
    except (OSError, ValueError, TypeError, LookupError, RuntimeError, DataError, tf.errors.OpError) as error:
        raise UserError(f"cannot load the export {version}: {error}; export the run again") from error


def overridden(options: DecodingOptions, given: dict[str, Any]) -> DecodingOptions:
    """The options with those that are given, and are not None, in place of their own."""
    try:
        return replace(options, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise UserError(str(error)) from error


def check_hypotheses(request: Request, beam_size: int) -> None:
    """Refuses more hypotheses than the beam holds.

    Raises:
        UserError: It does not hold so many.
    """
    searched = request.sampling is None and not request.at_prefix  # these find each hypothesis by itself
    if searched and request.hypotheses > beam_size:
        raise UserError(
            f"--n-best is {request.hypotheses}, but the beam holds {beam_size}; ask for fewer or a larger beam"
        )
