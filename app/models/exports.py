"""An export as a MODEL on the command line and in the server: loaded without a line of what trains."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import tensorflow as tf
from google.protobuf.message import DecodeError

from app.decoding.given_translations import Aligner, Scorer
from app.decoding.options import DecodingOptions
from app.decoding.signatures import DEFAULT, TRANSLATE, Signatures, with_translate
from app.decoding.translator import BATCH_TOKENS, BEST, WINDOW_LINES, Request, Translator
from app.errors import UserError
from app.models.export_layout import DESCRIPTION, ENGINE, is_ctranslate2
from app.runtime.processors import processors
from app.runtime.utf8_names import in_utf8
from pipelines.errors import DataError
from pipelines.sources.corpora import LanguagePair
from pipelines.vocabulary.tags import Languages

if TYPE_CHECKING:
    from app.decoding.ctranslate2_graph import CTranslate2Graph  # which imports layers, so only where it is needed
    from pipelines.vocabulary.loading import AnyVocabulary

Engine = Literal["tensorflow", "ctranslate2"]


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


def load_export(version: Path, given: dict[str, Any], engine: Engine | None = None) -> "ExportModel | CTranslate2Model":
    """One version of an export, with the given settings of the search, where not None, in place of its own.

    Args:
        version: The folder.
        given: The settings.
        engine: Which engine computes, if the export has both; None is the faster.

    Raises:
        UserError: It is damaged.
    """
    if is_ctranslate2(version):
        return CTranslate2Model.of_export(version, given)
    return ExportModel(version, given, engine)


class ExportModel:
    """One version of an export: a SavedModel, and beside it, in most exports, the same weights for CTranslate2.

    What CTranslate2 knows it answers, since it is faster on a CPU; the SavedModel, which is loaded when it is first
    needed, answers the rest.

    Args:
        version: The folder.
        given: Settings of the search to use in place of the export's own, where not None.
        engine: Which computes what both know; None is CTranslate2 on a CPU, and the SavedModel on a GPU.
    """

    def __init__(self, version: Path, given: dict[str, Any], engine: Engine | None = None) -> None:
        self.version = version
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            self.languages = languages_of(description)
            self.examples = list(description["run"].get("examples") or [])
            self.known: Sequence[str] = description.get("signatures", ())
            options = DecodingOptions(**description["decoding"])
        self.options = overridden(options, given)
        self.engine = load_engine(version, self.options, engine)
        if self.engine is None:
            self.saved_model  # noqa: B018  # damage shows at once

    @cached_property
    def saved_model(self) -> Any:
        """The loaded SavedModel.

        Raises:
            UserError: It is damaged.
        """
        with reporting_damage(self.version):
            return tf.saved_model.load(in_utf8(self.version))

    @property
    def vocabulary_outside(self) -> "AnyVocabulary | None":
        """What counts tokens without TensorFlow; a SavedModel has its vocabulary only in its graphs."""
        return self.engine and self.engine.vocabulary

    @cached_property
    def signatures(self) -> Signatures:
        """The functions of the export, by name."""
        if self.engine is None:
            return with_translate(self.saved_model.signatures)
        faster = self.engine.signatures()
        if TRANSLATE not in self.known:
            faster = {**faster, DEFAULT: faster[TRANSLATE]}  # as the SavedModel has it
        return FasterSignatures(faster, lambda: with_translate(self.saved_model.signatures))

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Translates with the export's signatures."""
        check_hypotheses(request, self.options.beam_size)
        return Translator(
            self.signatures,
            self.options,
            request=request,
            window_lines=window_lines,
            batches_at_once=batches_at_once,
        )

    def scorer(self) -> Scorer:
        """Scores with the export's signature."""
        return Scorer(self.signatures, self.options.length_penalty)

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Aligns with the SavedModel's signature."""
        return Aligner(self.signatures, window_lines=window_lines)


class FasterSignatures(Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]):
    """Signatures of which a faster engine answers some.

    Args:
        faster: Those of the engine.
        load_others: Returns all signatures of the slower engine; called when one of them is first needed.
    """

    def __init__(self, faster: Signatures, load_others: Callable[[], Signatures]) -> None:
        self.faster = faster
        self.load_others = load_others

    def __getitem__(self, name: str) -> Callable[..., Mapping[str, tf.Tensor]]:
        return self.faster[name] if name in self.faster else self.load_others()[name]

    def __iter__(self) -> Iterator[str]:
        return iter({**self.load_others(), **self.faster})

    def __len__(self) -> int:
        return len(list(iter(self)))


def load_engine(version: Path, options: DecodingOptions, engine: Engine | None = None) -> "CTranslate2Graph | None":
    """The engine that a version brings beside its SavedModel; None if it brings none or the SavedModel is to compute.

    That is so where `engine` says it, or says nothing and there is a GPU.
    """
    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    if engine == "tensorflow" or (engine is None and has_gpu) or not (version / ENGINE).is_dir():
        return None
    from app.decoding.ctranslate2_graph import CTranslate2Graph

    with reporting_damage(version):
        return CTranslate2Graph(version / ENGINE, options, workers=processors(), threads=1)


class CTranslate2Model:
    """A model in CTranslate2's format, loaded."""

    def __init__(
        self, folder: Path, languages: Languages, options: DecodingOptions, examples: Sequence[str] = ()
    ) -> None:
        self.languages = languages
        self.options = options
        self.examples = list(examples)
        from app.decoding.ctranslate2_graph import CTranslate2Graph

        self.graph = CTranslate2Graph(folder, options, workers=processors(), threads=1)

    @property
    def vocabulary_outside(self) -> "AnyVocabulary":
        """What counts tokens without TensorFlow."""
        return self.graph.vocabulary

    @cached_property
    def signatures(self) -> Signatures:
        """The functions of the export, by name."""
        return self.graph.signatures()

    @classmethod
    def of_export(cls, version: Path, given: dict[str, Any]) -> "CTranslate2Model":
        """One version of an export, with the given settings of the search in place of its own."""
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            options, languages = DecodingOptions(**description["decoding"]), languages_of(description)
            examples = description["run"].get("examples") or ()
        options = overridden(options, given)
        with reporting_damage(version):
            return cls(version, languages, options, examples)

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Translates, so many lines in a batch that each of the engine's own workers has some."""
        check_hypotheses(request, self.options.beam_size)
        batch_tokens = BATCH_TOKENS * self.graph.engine.num_translators
        return Translator(self.signatures, request=request, batch_tokens=batch_tokens, window_lines=window_lines)

    def scorer(self) -> Scorer:
        """Scores."""
        return Scorer(self.signatures)

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Is not there.

        Raises:
            UserError: Always.
        """
        raise UserError("this engine gives no alignments; translate with the run, or export it as a SavedModel")


def languages_of(description: Mapping[str, Any]) -> Languages:
    """What an export translates, by its description; older ones name but one pair."""
    pairs = description.get("pairs") or [description["pair"]]
    return Languages(tuple(LanguagePair.written(pair) for pair in pairs), tuple(description.get("domains", ())))


@contextmanager
def reporting_damage(version: Path) -> Iterator[None]:
    """Turns what is seen when an export's files are damaged into one line.

    Raises:
        UserError: In its place.
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
