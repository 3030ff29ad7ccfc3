"""Loads the model that a MODEL argument of the command line names: a run or an export.

A run and a SavedModel that is exported from the run use the same translation graph.
"""

import tempfile
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

from keras_nmt.app.decoding.generation.generator import TextGenerator
from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.generation.stepper import steps_of
from keras_nmt.app.decoding.given_translations import Aligner, Scorer
from keras_nmt.app.decoding.network.fusion import ShallowFusion
from keras_nmt.app.decoding.network.protocol import Network
from keras_nmt.app.decoding.options import DecodingSettings
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.decoding.translator import BEST, WINDOW_LINES, TranslationRequest, Translator
from keras_nmt.app.errors import UserError
from keras_nmt.app.models.ctranslate2_model import write_ctranslate2
from keras_nmt.app.models.export_layout import ENGINE, is_ctranslate2, newest_version
from keras_nmt.app.models.exports import CTranslate2Model, EngineName, Model, check_hypotheses, load_export, overridden
from keras_nmt.app.models.fusion import LANGUAGE_MODEL_WEIGHT, Fusion, check_weight, checked_engine
from keras_nmt.app.runs.checkpoints import IMPORTED, Checkpoint
from keras_nmt.app.runs.choice import choose_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say
from keras_nmt.app.tasks.task import Task
from keras_nmt.pipelines.vocabulary.tags import Languages

WeightPrecision = Literal["float32", "bfloat16"]  # data type of the weights and of the computation


def load_model(
    path: str | Path,
    *,
    checkpoint: str | None = None,
    engine: EngineName | None = None,
    ensemble: Sequence[str] = (),
    language_model: str | None = None,
    language_model_weight: float = LANGUAGE_MODEL_WEIGHT,
    **decoding: Unpack[DecodingSettings],
) -> Model:
    """Loads the model at `path`: a run (the folder of a training) or an export (written by `nmt export`).

    Args:
        path: A run, an export, or one version of an export.
        checkpoint: The checkpoint of a run, in the form that `choose_checkpoint` takes.
        engine: The engine. With None, a run uses TensorFlow, and an export uses the engine that `load_export` chooses.
        ensemble: The runs that form an ensemble with the run at `path`, each given as RUN or RUN:CHECKPOINT.
        language_model: A run of a language model of the target language, given as RUN or RUN:CHECKPOINT, whose
            log-probabilities are added to those of the model at `path`; see `ShallowFusion`.
        language_model_weight: The factor of the language model's log-probabilities.
        decoding: The values of `DecodingOptions` fields that override the values of the model. None overrides nothing.

    Raises:
        UserError: `path` is neither a run nor an export, it does not have the requested checkpoint, engine or ensemble,
            or the language model does not fit.
    """
    path = Path(path)
    if RunDirectory.is_run(path):
        fusion = None if language_model is None else Fusion(language_model, language_model_weight)
        model = RunModel(path, checkpoint=checkpoint, ensemble=ensemble, fusion=fusion, **decoding)
        return model.in_ctranslate2() if engine == "ctranslate2" else model
    version = newest_version(path)
    if version is None:
        found = "it holds neither" if path.is_dir() else "there is no such folder"
        raise UserError(f"{path} is not a model: expected a run of `nmt train` or an export of `nmt export`; {found}")
    if checkpoint is not None:
        raise UserError(f"{path} was exported from one checkpoint; leave --checkpoint out, or name the run")
    if language_model is not None:
        raise UserError(f"{path} is an export; --language-model is for runs")
    if ensemble:
        raise UserError(f"{path} is an export; --ensemble is for runs, and `nmt export` takes it too")
    engines = {"ctranslate2"} if is_ctranslate2(version) else {"tensorflow"}
    if (version / ENGINE).is_dir():
        engines.add("ctranslate2")
    if engine and engine not in engines:
        wanted = "saved-model" if engine == "tensorflow" else engine
        raise UserError(f"{path} is no export for {engine}; export the run again with --format {wanted}")
    return load_export(version, decoding, engine)


class RunModel:
    """A run with the weights of the checkpoint that `choose_checkpoint` selects, or an ensemble of several runs.

    A language model can help (`fusion`).
    """

    def __init__(
        self,
        path: Path,
        *,
        checkpoint: str | None = None,
        precision: WeightPrecision = "float32",
        ensemble: Sequence[str] = (),
        fusion: Fusion | None = None,
        **decoding: Unpack[DecodingSettings],
    ) -> None:
        self.run = RunDirectory.open(path)
        self.precision = precision
        self.checkpoint = choose_checkpoint(self.run, checkpoint)
        self.options = overridden(self.run.configuration.decoding, decoding)
        say(f"{path}: {_origin(self.checkpoint)}")
        self.others = [self._member(member) for member in ensemble]
        self.fusion = fusion
        self.language_model = self._language_model(fusion) if fusion else None

    @property
    def languages(self) -> Languages:
        """The languages that the model translates."""
        return self.run.languages

    @property
    def task(self) -> Task:
        """The task of the model."""
        return self.run.task

    @cached_property
    def graph(self) -> TranslationGraph:
        """The engine, if it is one that turns a text into another.

        Raises:
            UserError: The engine continues texts.
        """
        if not isinstance(self.engine, TranslationGraph):
            raise UserError(f"{self.run.path} is a model of {self.task.name}; use nmt {self.task.verb}")
        return self.engine

    @cached_property
    def engine(self) -> TranslationGraph | GenerationGraph:
        """The engine of the model's task, which is loaded when it is first needed."""
        members = [model.run.load_transformer(model.checkpoint, self.precision) for model in (self, *self.others)]
        transformer: Network = self.task.ensemble(members) if self.others else members[0]
        if self.language_model and self.fusion:
            transformer = ShallowFusion(transformer, self.language_model.model, self.fusion.weight)
        return self.run.task.engine(transformer, self.run.vocabulary(), self.options)

    def in_float32(self) -> TranslationGraph:
        """Returns an engine with float32 weights. Returns `graph` if its weights are float32."""
        if self.precision == "float32":
            return self.graph
        transformer = self.run.load_transformer(self.checkpoint, "float32")
        return self.run.task.engine(transformer, self.run.vocabulary(), self.options)

    def _language_model(self, fusion: Fusion) -> GenerationGraph:
        check_weight(fusion.weight)
        helper = _named_run(fusion.run)
        return checked_engine(helper.run, helper.engine, self.run, longest=self.options.max_source_tokens)

    def _member(self, text: str) -> "RunModel":
        member = _named_run(text)
        path, own = member.run.path, self.run.configuration.model
        if member.task.name != self.task.name:
            raise UserError(f"{path} is a model of {member.task.name}, and {self.run.path} of {self.task.name}")
        if member.run.manifest["vocabulary_digest"] != self.run.manifest["vocabulary_digest"]:
            raise UserError(
                f"{path} has another vocabulary than {self.run.path}; only runs on the same prepared data, or on data "
                "prepared with the --vocabulary of the other, can be an ensemble"
            )
        for name in ("word_token", "word_tags", "copying"):
            if getattr(member.run.configuration.model, name) != getattr(own, name):
                raise UserError(
                    f"{path} has another {name} than {self.run.path}; only runs with the same one can be an ensemble"
                )
        if not own.encoder_layers and member.options.max_source_tokens < self.options.max_source_tokens:
            raise UserError(
                f"{path} sees {member.options.max_source_tokens} tokens, fewer than the "
                f"{self.options.max_source_tokens} of {self.run.path}; give {path} as the model, and the other as its "
                "--ensemble"
            )
        return member

    def translator(
        self, request: TranslationRequest = BEST, *, window_lines: int = WINDOW_LINES, batches_at_once: int = 1
    ) -> Translator:
        """Returns a translator that uses the run's weights."""
        check_hypotheses(request, self.options.beam_size)
        return Translator(
            self.graph.signatures(), request=request, window_lines=window_lines, batches_at_once=batches_at_once
        )

    def scorer(self) -> Scorer:
        """Returns a scorer that uses the run's weights."""
        engine = self.engine if self.task.measures_text else self.graph
        return Scorer(engine.signatures())

    def aligner(self, window_lines: int = WINDOW_LINES) -> Aligner:
        """Returns an aligner that uses the run's weights."""
        return Aligner(self.graph.signatures(), window_lines=window_lines)

    def generator(self) -> TextGenerator:
        """Returns a generator of text that uses the run's weights.

        Raises:
            UserError: The model does not continue texts.
        """
        if not isinstance(self.engine, GenerationGraph):
            raise UserError(f"{self.run.path} is a model of {self.task.name}; use nmt {self.task.verb}")
        return TextGenerator(steps_of(self.engine))

    def keep_scores(self, text: str, sentences: int, scores: Mapping[str, Any]) -> None:
        """Stores the model's scores on a test set in the run. Prints a warning if the scores cannot be stored.

        The scores of an ensemble, or with the help of a language model, are not stored: they do not belong to one run.

        Args:
            text: The name of the test set.
            sentences: The number of sentences in the test set.
            scores: The scores, by name.
        """
        if self.others or self.language_model:
            return
        evaluation = {**scores, "sentences": sentences, "decoding": vars(self.options)}
        try:
            self.run.add_evaluation(self.checkpoint, text, evaluation)
        except OSError as error:
            say(f"cannot keep the scores in {self.run.path}: {(error.strerror or str(error)).lower()}")

    def in_ctranslate2(self) -> "CTranslate2Model":
        """Converts the model to CTranslate2.

        Raises:
            UserError: CTranslate2 does not support the model.
        """
        self.refuse_ctranslate2()
        with tempfile.TemporaryDirectory() as folder:
            write_ctranslate2(self.graph.transformer, self.graph.vocabulary, Path(folder), "float32")
            return CTranslate2Model(Path(folder), self.languages, self.options)

    def not_for_ctranslate2(self) -> str:
        """Returns the reason if CTranslate2 does not support this model, else ""."""
        if not self.task.in_ctranslate2:
            return f"CTranslate2 does not do {self.task.name}"
        if self.others:
            return "CTranslate2 does not support ensembles"
        if self.language_model:
            return "CTranslate2 does not support a language model beside the translation model"
        if self.run.configuration.model.word_token:
            return "CTranslate2 does not support a decoder that is told the next word (word_token)"
        if self.run.configuration.model.copying:
            return "CTranslate2 does not support a decoder that copies from the source (copying)"
        return ""

    def refuse_ctranslate2(self) -> None:
        """Checks that CTranslate2 supports the model.

        Raises:
            UserError: This is an ensemble, a model with `word_token` or `copying`, or a language model helps.
        """
        if reason := self.not_for_ctranslate2():
            options = {"--ensemble": self.others, "--language-model": self.language_model}
            without = [f"leave {option} out, or " for option, value in options.items() if value]
            raise UserError(f"{reason}; {''.join(without[:1])}use TensorFlow")


def _named_run(text: str) -> RunModel:
    """Loads a run that is given as RUN or RUN:CHECKPOINT."""
    path, separator, checkpoint = text.rpartition(":")
    if not separator or RunDirectory.is_run(Path(text)):
        path, checkpoint = text, ""
    return RunModel(Path(path), checkpoint=checkpoint or None)


def _origin(checkpoint: Checkpoint) -> str:
    if averaged := checkpoint.facts.get("averaged"):
        return f"average of {len(averaged)} checkpoints"
    return f"imported from {checkpoint.facts[IMPORTED]}" if IMPORTED in checkpoint.facts else f"step {checkpoint.step}"
