"""Loads exports for the command line and the server, without importing any training code."""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import tensorflow as tf
from google.protobuf.message import DecodeError

from keras_nmt.app.decoding.given_translations import Aligner, Scorer
from keras_nmt.app.decoding.options import DecodingOptions, DecodingSettings
from keras_nmt.app.decoding.signatures import DEFAULT, TRANSLATE, Signatures, with_translate
from keras_nmt.app.decoding.translator import BATCH_TOKENS, BEST, WINDOW_LINES, TranslationRequest, Translator
from keras_nmt.app.errors import UserError
from keras_nmt.app.models.export_layout import DESCRIPTION, ENGINE, is_ctranslate2
from keras_nmt.app.models.faster_signatures import FasterSignatures
from keras_nmt.app.runtime.processors import processors
from keras_nmt.app.runtime.utf8_names import in_utf8
from keras_nmt.app.tasks.known import task_named
from keras_nmt.app.tasks.task import Task
from keras_nmt.pipelines.errors import DataError
from keras_nmt.pipelines.preparation.recipes import TRANSLATION
from keras_nmt.pipelines.sources.corpora import LanguagePair
from keras_nmt.pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:
    from keras_nmt.app.decoding.ctranslate2_graph import (
        CTranslate2Graph,  # imports layers, so it is imported only where needed
    )
    from keras_nmt.pipelines.vocabulary.loading import AnyVocabulary

EngineName = Literal["tensorflow", "ctranslate2"]


class Model(Protocol):
    """The interface of a model that the commands use."""

    @property
    def languages(self) -> Languages:
        """The languages that the model translates."""

    @property
    def task(self) -> Task:
        """The task of the model."""

    @property
    def options(self) -> DecodingOptions:
        """The settings of the search."""

    def translator(
        self, request: TranslationRequest = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Returns a translator of lines."""

    def scorer(self) -> Scorer:
        """Returns a scorer, which scores pairs of a line and its translation."""

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Returns an aligner, which aligns the words of lines with the words of their translations."""


def load_export(
    version: Path, given: DecodingSettings, engine: EngineName | None = None
) -> "ExportModel | CTranslate2Model":
    """Loads one version of an export.

    Args:
        version: The folder of the version.
        given: The settings of the search that override the settings of the export. None overrides nothing.
        engine: The engine to use if the export has both engines. None for CTranslate2 on a CPU and TensorFlow on a GPU.

    Raises:
        UserError: The version is damaged.
    """
    if is_ctranslate2(version):
        return CTranslate2Model.of_export(version, given)
    return ExportModel(version, given, engine)


class ExportModel:
    """One version of an export: a SavedModel and, in most exports, the same weights for CTranslate2.

    If CTranslate2 is used, it runs the signatures that it supports. The SavedModel runs the other signatures, and is
    loaded when it is first needed. If CTranslate2 is not used, the SavedModel is loaded at once and runs all
    signatures.

    Args:
        version: The folder of the version.
        given: The settings of the search that override the settings of the export. None overrides nothing.
        engine: The engine for signatures that both engines support. None for CTranslate2 on a CPU and TensorFlow on a
            GPU.
    """

    def __init__(self, version: Path, given: DecodingSettings, engine: EngineName | None = None) -> None:
        self.version = version
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            self.languages = languages_of(description)
            self.task = task_of(description)
            self.examples = list(description["run"].get("examples") or [])
            self.known: Sequence[str] = description.get("signatures", ())
            options = DecodingOptions(**description["decoding"])
        self.options = overridden(options, given)
        self.engine = load_engine(version, self.options, engine)
        if self.engine is None:
            self.saved_model  # noqa: B018  # loads the SavedModel now, so that a damaged one fails at once

    @cached_property
    def saved_model(self) -> Any:
        """The loaded SavedModel.

        Raises:
            UserError: The export is damaged.
        """
        with reporting_damage(self.version):
            return tf.saved_model.load(in_utf8(self.version))

    @property
    def python_vocabulary(self) -> "AnyVocabulary | None":
        """The vocabulary for use without TensorFlow; None if the vocabulary is only in the graphs of the SavedModel."""
        return self.engine and self.engine.vocabulary

    @cached_property
    def signatures(self) -> Signatures:
        """The signatures of the export, by name."""
        if self.engine is None:
            return with_translate(self.saved_model.signatures)
        faster = self.engine.signatures()
        if TRANSLATE not in self.known:
            faster = {**faster, DEFAULT: faster[TRANSLATE]}  # as in the SavedModel
        return FasterSignatures(faster, lambda: with_translate(self.saved_model.signatures))

    def translator(
        self, request: TranslationRequest = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Returns a translator that uses the export's signatures."""
        check_hypotheses(request, self.options.beam_size)
        return Translator(
            self.signatures,
            self.options,
            request=request,
            window_lines=window_lines,
            batches_at_once=batches_at_once,
        )

    def scorer(self) -> Scorer:
        """Returns a scorer that uses the export's signature `score`."""
        return Scorer(self.signatures, self.options.length_penalty)

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Returns an aligner that uses the SavedModel's signature `align`."""
        return Aligner(self.signatures, window_lines=window_lines)


def load_engine(version: Path, options: DecodingOptions, engine: EngineName | None = None) -> "CTranslate2Graph | None":
    """Loads the CTranslate2 model of a version. Returns None if it has no such model or TensorFlow is to be used.

    TensorFlow is used if `engine` is "tensorflow", or if `engine` is None and there is a GPU.
    """
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if engine == "tensorflow" or (engine is None and has_gpu) or not (version / ENGINE).is_dir():
        return None
    from keras_nmt.app.decoding.ctranslate2_graph import CTranslate2Graph

    with reporting_damage(version):
        return CTranslate2Graph(version / ENGINE, options, workers=processors(), threads=1)


class CTranslate2Model:
    """A loaded model in CTranslate2's format."""

    def __init__(
        self, folder: Path, languages: Languages, options: DecodingOptions, examples: Sequence[str] = ()
    ) -> None:
        self.task = task_named(TRANSLATION)
        self.languages = languages
        self.options = options
        self.examples = list(examples)
        from keras_nmt.app.decoding.ctranslate2_graph import CTranslate2Graph

        self.graph = CTranslate2Graph(folder, options, workers=processors(), threads=1)

    @property
    def python_vocabulary(self) -> "AnyVocabulary":
        """The vocabulary for use without TensorFlow."""
        return self.graph.vocabulary

    @cached_property
    def signatures(self) -> Signatures:
        """The signatures of the model, by name."""
        return self.graph.signatures()

    @classmethod
    def of_export(cls, version: Path, given: DecodingSettings) -> "CTranslate2Model":
        """Loads one version of an export. Settings in `given` override the export's settings of the search."""
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            options, languages = DecodingOptions(**description["decoding"]), languages_of(description)
            examples = description["run"].get("examples") or ()
        options = overridden(options, given)
        with reporting_damage(version):
            return cls(version, languages, options, examples)

    def translator(
        self, request: TranslationRequest = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Returns a translator whose batches are large enough to use all workers of the engine."""
        check_hypotheses(request, self.options.beam_size)
        batch_tokens = BATCH_TOKENS * self.graph.engine.num_translators
        return Translator(self.signatures, request=request, batch_tokens=batch_tokens, window_lines=window_lines)

    def scorer(self) -> Scorer:
        """Returns a scorer that uses the model's signature `score`."""
        return Scorer(self.signatures)

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Not supported.

        Raises:
            UserError: Always.
        """
        raise UserError("this engine does not align words; translate with the run, or export it as a SavedModel")


def languages_of(description: Mapping[str, Any]) -> Languages:
    """Returns the languages in an export's description. Older descriptions have only one language pair."""
    pairs = description.get("pairs") or [description["pair"]]
    return Languages(tuple(LanguagePair.written(pair) for pair in pairs), tuple(description.get("domains", ())))


def task_of(description: Mapping[str, Any]) -> Task:
    """Returns the task in an export's description. Older descriptions have none, and are of translation."""
    return task_named(description["run"].get("task", TRANSLATION))


@contextmanager
def reporting_damage(version: Path) -> Iterator[None]:
    """Replaces errors from damaged files of an export by a one-line `UserError`.

    Raises:
        UserError: The body of the `with` statement raised an error that a damaged file can cause.
    """
    try:
        yield
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        RuntimeError,
        DataError,
        DecodeError,
        tf.errors.OpError,
    ) as error:
        raise UserError(f"cannot load the export {version}: {error}; export the run again") from error


def overridden(options: DecodingOptions, given: DecodingSettings) -> DecodingOptions:
    """Returns the options, in which values in `given` other than None replace the original values.

    Raises:
        UserError: A value is out of its range.
    """
    changed: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    try:
        return replace(options, **changed)
    except ValueError as error:
        raise UserError(str(error)) from error


def check_hypotheses(request: TranslationRequest, beam_size: int) -> None:
    """Checks that a request asks for no more hypotheses than the beam holds.

    Requests with `sampling` or `at_prefix` may ask for any number.

    Raises:
        UserError: The request asks for more hypotheses.
    """
    searched = request.sampling is None and not request.at_prefix  # otherwise, each hypothesis is found separately
    if searched and request.hypotheses > beam_size:
        raise UserError(
            f"--n-best is {request.hypotheses}, but the beam holds {beam_size}; ask for fewer or a larger beam"
        )
