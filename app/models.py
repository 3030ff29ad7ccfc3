"""A MODEL on the command line: a run or an export. Both translate with the same graph."""

import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import tensorflow as tf

from app.checkpoint_choice import choose
from app.console import say
from app.decoding.ctranslate2_graph import CTranslate2Graph
from app.decoding.ensemble import Ensemble
from app.decoding.given_translations import Aligner, Scorer
from app.decoding.options import DecodingOptions
from app.decoding.translation_graph import TranslationGraph
from app.decoding.translator import BATCH_TOKENS, BEST, WINDOW_LINES, Request, Translator
from app.errors import UserError
from app.processors import processors
from app.run_directory import RunDirectory
from app.serving.ctranslate2_model import write_ctranslate2
from app.serving.layout import DESCRIPTION, newest_version
from app.training.checkpoints import IMPORTED, Checkpoint
from pipelines.errors import DataError

Engine = Literal["tensorflow", "ctranslate2"]

Precision = Literal["float32", "bfloat16"]  # of the weights and of what is computed with them


class Model(Protocol):
    """What the commands need of a model."""

    @property
    def pair(self) -> str:
        """Its languages, such as en-de."""

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Lines in, translations out."""

    def scorer(self) -> Scorer:
        """Pairs of lines in, scores out."""

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Pairs of lines in, alignments out."""


def load_model(
    path: Path,
    *,
    checkpoint: str | None = None,
    engine: Engine | None = None,
    ensemble: Sequence[str] = (),
    **decoding: Any,
) -> Model:
    """The run or export at `path`.

    Args:
        path: A run, an export, or one version of an export.
        checkpoint: Of a run, as `choose` has it.
        engine: What computes; None is TensorFlow, or CTranslate2 for an export in its format.
        ensemble: Runs that translate together with this one, each RUN or RUN:CHECKPOINT.
        decoding: Fields of `DecodingOptions` to use in place of the model's own, where not None.

    Raises:
        UserError: `path` is neither, or what is asked for is not in it.
    """
    if RunDirectory.is_run(path):
        model = RunModel(path, checkpoint=checkpoint, ensemble=ensemble, **decoding)
        return model.in_ctranslate2() if engine == "ctranslate2" else model
    version = newest_version(path)
    if version is None:
        found = "it holds neither" if path.is_dir() else "there is no such folder"
        raise UserError(f"{path} is not a model: expected a run of `nmt train` or an export of `nmt export`; {found}")
    if checkpoint is not None:
        raise UserError(f"{path} was exported from one checkpoint; leave --checkpoint out, or name the run")
    if ensemble:
        raise UserError(f"{path} is an export; --ensemble is for runs, and `nmt export` takes it too")
    format = "ctranslate2" if (version / "model.bin").is_file() else "tensorflow"
    if engine not in (None, format):
        wanted = "saved-model" if engine == "tensorflow" else engine
        raise UserError(f"{path} is no export for {engine}; export the run again with --format {wanted}")
    if format == "ctranslate2":
        return CTranslate2Model.of_export(version, decoding)
    return ExportModel(version, decoding)


class RunModel:
    """A run's weights: those of a checkpoint, as `choose` has it."""

    def __init__(
        self,
        path: Path,
        *,
        checkpoint: str | None = None,
        precision: Precision = "float32",
        ensemble: Sequence[str] = (),
        **decoding: Any,
    ) -> None:
        self.run = RunDirectory.open(path)
        self.precision = precision
        self.checkpoint = choose(self.run, checkpoint)
        self.options = _overridden(self.run.configuration.decoding, decoding)
        say(f"{path}: {_origin(self.checkpoint)}")
        self.others = [self._member(member) for member in ensemble]

    @property
    def pair(self) -> str:
        """Its languages."""
        pair = self.run.manifest["pair"]
        return f"{pair['source']}-{pair['target']}"

    @cached_property
    def graph(self) -> TranslationGraph:
        """The model with its tokeniser and search."""
        members = [model.run.load_transformer(model.checkpoint, self.precision) for model in (self, *self.others)]
        transformer = Ensemble(members) if self.others else members[0]
        return TranslationGraph(transformer, self.run.vocabulary(), self.options)

    def _member(self, text: str) -> "RunModel":
        path, separator, checkpoint = text.rpartition(":")
        if not separator or RunDirectory.is_run(Path(text)):
            path, checkpoint = text, ""
        member = RunModel(Path(path), checkpoint=checkpoint or None)
        if member.run.manifest["vocabulary_digest"] != self.run.manifest["vocabulary_digest"]:
            raise UserError(
                f"{path} has another vocabulary than {self.run.path}; only runs on the same prepared data, or on data "
                "prepared with the --vocabulary of the other, can be an ensemble"
            )
        return member

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Translates with the run's weights."""
        _check_hypotheses(request, self.options.beam_size)
        return Translator(
            self.graph.signatures(), request=request, window_lines=window_lines, batches_at_once=batches_at_once
        )

    def scorer(self) -> Scorer:
        """Scores with the run's weights."""
        return Scorer(self.graph.signatures())

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Aligns with the run's weights."""
        return Aligner(self.graph.signatures(), window_lines=window_lines)

    def keep_scores(self, text: str, sentences: int, scores: Mapping[str, Any]) -> None:
        """Writes the scores of its translations of a text into the run; says so if that is not possible.

        Those of an ensemble are no run's own.
        """
        if self.others:
            return
        evaluation = {**scores, "sentences": sentences, "decoding": vars(self.options)}
        try:
            self.run.add_evaluation(self.checkpoint, text, evaluation)
        except OSError as error:
            say(f"cannot keep the scores in {self.run.path}: {(error.strerror or str(error)).lower()}")

    def in_ctranslate2(self) -> "CTranslate2Model":
        """The same model, computed by CTranslate2.

        Raises:
            UserError: It is not installed, or this is an ensemble.
        """
        self.refuse_ensemble()
        with tempfile.TemporaryDirectory() as folder:
            write_ctranslate2(self.graph.transformer, self.graph.vocabulary, Path(folder), "float32")
            return CTranslate2Model(Path(folder), self.pair, self.options)

    def refuse_ensemble(self) -> None:
        """Is for what cannot be done with several models.

        Raises:
            UserError: This is an ensemble.
        """
        if self.others:
            raise UserError("CTranslate2 knows no ensembles; leave --ensemble out, or use TensorFlow")


class CTranslate2Model:
    """A model in CTranslate2's format, loaded."""

    def __init__(self, folder: Path, pair: str, options: DecodingOptions) -> None:
        self.pair = pair
        self.options = options
        self.graph = CTranslate2Graph(folder, options, workers=processors(), threads=1)

    @classmethod
    def of_export(cls, version: Path, given: dict[str, Any]) -> "CTranslate2Model":
        """One version of an export, with the given settings of the search in place of its own."""
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            options, pair = DecodingOptions(**description["decoding"]), str(description["pair"])
        options = _overridden(options, given)
        with reporting_damage(version):
            return cls(version, pair, options)

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Translates, so many lines in a batch that each of the engine's own workers has some."""
        _check_hypotheses(request, self.options.beam_size)
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


class ExportModel:
    """One version of an export, a SavedModel."""

    def __init__(self, version: Path, given: dict[str, Any]) -> None:
        self.version = version
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            self.pair = str(description["pair"])
            options = DecodingOptions(**description["decoding"])
            self.loaded = tf.saved_model.load(str(version))
        self.options = _overridden(options, given)

    def translator(
        self, request: Request = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Translates with the SavedModel's signatures."""
        _check_hypotheses(request, self.options.beam_size)
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


def _origin(checkpoint: Checkpoint) -> str:
    if averaged := checkpoint.facts.get("averaged"):
        return f"average of {len(averaged)} checkpoints"
    return f"imported from {checkpoint.facts[IMPORTED]}" if IMPORTED in checkpoint.facts else f"step {checkpoint.step}"


def _overridden(options: DecodingOptions, given: dict[str, Any]) -> DecodingOptions:
    """The options with those that are given, and are not None, in place of their own."""
    try:
        return replace(options, **{name: value for name, value in given.items() if value is not None})
    except ValueError as error:
        raise UserError(str(error)) from error


def _check_hypotheses(request: Request, beam_size: int) -> None:
    searched = request.sampling is None and not request.at_prefix  # these find each hypothesis by itself
    if searched and request.hypotheses > beam_size:
        raise UserError(
            f"--n-best is {request.hypotheses}, but the beam holds {beam_size}; ask for fewer or a larger beam"
        )
