"""Checks the language model that a user chooses to help a translation model."""

import math
from typing import NamedTuple

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say
from keras_nmt.pipelines.sources.corpora import parse_spec

LANGUAGE_MODEL_WEIGHT = 0.1
LINES = "lines"


class Fusion(NamedTuple):
    """A language model that helps to translate; see `ShallowFusion`.

    Attributes:
        run: The run of the language model, given as RUN or RUN:CHECKPOINT.
        weight: The factor of its log-probabilities; 0 or more.
    """

    run: str
    weight: float


def check_weight(weight: float) -> None:
    """Raises `UserError` if a weight is negative or not a number."""
    if not 0 <= weight < math.inf:
        raise UserError(f"--language-model-weight is {weight}; it must be at least 0")


def checked_engine(
    run: RunDirectory, engine: TranslationGraph | GenerationGraph, translation: RunDirectory, *, longest: int
) -> GenerationGraph:
    """Returns the engine of a language model that fits a translation model.

    Prints a message if the language model has learnt from other texts than lines, or from shorter ones than `longest`.

    Args:
        run: The run of the language model.
        engine: The engine of that run.
        translation: The run of the translation model.
        longest: The largest number of tokens that the translation model reads at once.

    Raises:
        UserError: `run` is no language model, or has another vocabulary.
    """
    path = run.path
    if not isinstance(engine, GenerationGraph):
        raise UserError(f"{path} is a model of {run.task.name}, not a language model")
    if engine.vocabulary.pieces() != translation.vocabulary().pieces():
        raise UserError(
            f"{path} has another vocabulary than {translation.path}; prepare the text of the language model with "
            f"--vocabulary {translation.path}"
        )
    if not reads_lines(run):
        say(f"{path}: does not know where a line ends; better train on text:FILE?documents=lines")
    learnt = engine.reader.context_tokens - 1
    if learnt < longest:
        say(f"{path}: has learnt from {learnt} tokens at once; the scores of longer translations are less reliable")
    return engine


def reads_lines(run: RunDirectory) -> bool:
    """Returns True if each document that the run was trained on is a line."""
    origins = run.manifest.get("corpora", {}).get("train", {}).get("origins", [])
    return all(parse_spec(origin["spec"]).documents == LINES for origin in origins)
