"""A MODEL on the command line: a run or an export. Both translate with the same graph."""

import json
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol

import tensorflow as tf

from app.checkpoint_choice import choose
from app.console import say
from app.decoding.ctranslate2_graph import CTranslate2Graph
from app.decoding.given_translations import Aligner, Scorer
from app.decoding.options import DecodingOptions
from app.decoding.translation_graph import TranslationGraph
from app.decoding.translator import BATCH_TOKENS, WINDOW_LINES, Translator
from app.errors import UserError
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

    def translator(self, hypotheses: int = 1, window_lines: int = WINDOW_LINES) -> Translator:
        """Lines in, translations out."""

    def scorer(self) -> Scorer:
        """Pairs of lines in, scores out."""

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Pairs of lines in, alignments out."""


def load_model(
    path: Path,
    *,
    checkpoint: str | None = None,
    beam_size: int | None = None,
    length_penalty: float | None = None,
    engine: Engine | None = None,
) -> Model:
    """The run or export at `path`; the search's settings are its own where None is given.

    Args:
        path: A run, an export, or one version of an export.
        checkpoint: Of a run, as `choose` has it.
        beam_size: Hypotheses kept while searching.
        length_penalty: The exponent of the length penalty.
        engine: What computes; None is TensorFlow, or CTranslate2 for an export in its format.

    Raises:
        UserError: `path` is neither, or what is asked for is not in it.
    """
    given = {"beam_size": beam_size, "length_penalty": length_penalty}
    if RunDirectory.is_run(path):
        model = RunModel(path, checkpoint=checkpoint, beam_size=beam_size, length_penalty=length_penalty)
        return model.in_ctranslate2() if engine == "ctranslate2" else model
    version = newest_version(path)
    if version is None:
        found = "it holds neither" if path.is_dir() else "there is no such folder"
        raise UserError(f"{path} is not a model: expected a run of `nmt train` or an export of `nmt export`; {found}")
    if checkpoint is not None:
        raise UserError(f"{path} was exported from one checkpoint; leave --checkpoint out, or name the run")
    format = "ctranslate2" if (version / "model.bin").is_file() else "tensorflow"
    if engine not in (None, format):
        wanted = "saved-model" if engine == "tensorflow" else engine
        raise UserError(f"{path} is no export for {engine}; export the run again with --format {wanted}")
    if format == "ctranslate2":
        return CTranslate2Model.of_export(version, given)
    return ExportModel(version, given)


class RunModel:
    """A run's weights: those of a checkpoint, as `choose` has it."""

    def __init__(
        self,
        path: Path,
        *,
        checkpoint: str | None = None,
        beam_size: int | None = None,
        length_penalty: float | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.run = RunDirectory.open(path)
        self.precision = precision
        self.checkpoint = choose(self.run, checkpoint)
        given = {"beam_size": beam_size, "length_penalty": length_penalty}
        self.options = _overridden(self.run.configuration.decoding, given)
        say(f"{path}: {_origin(self.checkpoint)}")

    @property
    def pair(self) -> str:
        """Its languages."""
        pair = self.run.manifest["pair"]
        return f"{pair['source']}-{pair['target']}"

    @cached_property
    def graph(self) -> TranslationGraph:
        """The model with its tokeniser and search."""
        transformer = self.run.load_transformer(self.checkpoint, self.precision)
        return TranslationGraph(transformer, self.run.vocabulary(), self.options)

    def translator(self, hypotheses: int = 1, window_lines: int = WINDOW_LINES) -> Translator:
        """Translates with the run's weights."""
        _check_hypotheses(hypotheses, self.options.beam_size)
        return Translator(self.graph.signatures(), hypotheses=hypotheses, window_lines=window_lines)

    def scorer(self) -> Scorer:
        """Scores with the run's weights."""
        return Scorer(self.graph.signatures())

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Aligns with the run's weights."""
        return Aligner(self.graph.signatures(), window_lines=window_lines)

    def in_ctranslate2(self) -> "CTranslate2Model":
        """The same model, computed by CTranslate2.

        Raises:
            UserError: It is not installed.
        """
        with tempfile.TemporaryDirectory() as folder:
            write_ctranslate2(self.graph.transformer, self.graph.vocabulary, Path(folder), "float32")
            return CTranslate2Model(Path(folder), self.pair, self.options)


class CTranslate2Model:
    """A model in CTranslate2's format, loaded."""

    def __init__(self, folder: Path, pair: str, options: DecodingOptions) -> None:
        self.pair = pair
        self.options = options
        self.graph = CTranslate2Graph(folder, options, workers=os.cpu_count() or 1, threads=1)

    @classmethod
    def of_export(cls, version: Path, given: dict[str, Any]) -> "CTranslate2Model":
        """One version of an export, with the given settings of the search in place of its own."""
        with reporting_damage(version):
            description = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))
            options, pair = DecodingOptions(**description["decoding"]), str(description["pair"])
        options = _overridden(options, given)
        with reporting_damage(version):
            return cls(version, pair, options)

    def translator(self, hypotheses: int = 1, window_lines: int = WINDOW_LINES) -> Translator:
        """Translates, so many lines at once that every worker has some."""
        _check_hypotheses(hypotheses, self.options.beam_size)
        batch_tokens = BATCH_TOKENS * self.graph.engine.num_translators
        return Translator(
            self.graph.signatures(), hypotheses=hypotheses, batch_tokens=batch_tokens, window_lines=window_lines
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

    def translator(self, hypotheses: int = 1, window_lines: int = WINDOW_LINES) -> Translator:
        """Translates with the SavedModel's signatures."""
        _check_hypotheses(hypotheses, self.options.beam_size)
        return Translator(self.loaded.signatures, self.options, hypotheses=hypotheses, window_lines=window_lines)

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


def _check_hypotheses(hypotheses: int, beam_size: int) -> None:
    if hypotheses > beam_size:
        raise UserError(f"--n-best is {hypotheses}, but the beam holds {beam_size}; ask for fewer or a larger beam")
