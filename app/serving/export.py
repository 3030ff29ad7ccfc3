"""`nmt export`: a run becomes a SavedModel that takes strings and gives strings."""

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from app.decoding.ctranslate2_graph import CTranslate2Graph
from app.decoding.translation_graph import TRANSLATE, Signatures, TranslationGraph
from app.errors import UserError
from app.models import RunModel
from app.serving import fresh_process
from app.serving.ctranslate2_model import Quantization, write_ctranslate2
from app.serving.layout import DESCRIPTION, versions
from pipelines.any_vocabulary import AnyVocabulary

SCORE_TOLERANCE = 1e-4
PROBABILITY_TOLERANCES: dict[Quantization, float] = {"float32": 1e-3, "int8": 0.3}  # nats a token
GOLDEN_LENGTHS = (1, 3, 10, 30)  # pieces of the made-up sentences


class ExportedTranslation(tf.Module):
    """What a SavedModel holds on to: the weights, the tokeniser's resource, and the signatures as methods.

    With `model = tf.saved_model.load(…)`, `model.translate(["…"])` may leave arguments out; `model.signatures` may not.
    """

    def __init__(self, graph: TranslationGraph, signatures: Signatures) -> None:
        super().__init__(name="translation")
        for name, function in signatures.items():
            setattr(self, "translate" if name == TRANSLATE else name, function)
        self.weights = [weight.value for weight in graph.transformer.weights]
        self.vocabulary = graph.vocabulary


def export(model: RunModel, out: Path) -> Path:
    """Writes the next version of a SavedModel and gives its folder, `out`/VERSION.

    A fresh process with nothing but TensorFlow and TensorFlow Text is held to this process' translations.

    Raises:
        UserError: `out` cannot be written, or the fresh process translates otherwise.
    """

    def write(folder: Path) -> None:
        signatures = model.graph.signatures()
        tf.saved_model.save(ExportedTranslation(model.graph, signatures), str(folder), signatures=signatures)
        check(model.graph, folder)

    return published(out, description(model), write)


def export_ctranslate2(model: RunModel, out: Path, quantization: Quantization) -> Path:
    """Writes the next version as a CTranslate2 model with its vocabulary and gives its folder, `out`/VERSION.

    It is held to the probabilities that the run gives to its translations.

    Raises:
        UserError: `out` cannot be written, CTranslate2 is not installed, or it finds other probabilities.
    """

    def write(folder: Path) -> None:
        graph = model.graph
        write_ctranslate2(graph.transformer, graph.vocabulary, folder, quantization)
        check_probabilities(graph, CTranslate2Graph(folder, graph.options), PROBABILITY_TOLERANCES[quantization])

    return published(out, {**description(model), "format": "ctranslate2", "quantization": quantization}, write)


def published(out: Path, facts: dict[str, Any], write: Callable[[Path], None]) -> Path:
    """The folder of the next version of an export, `out`/VERSION, which has its number once `write` has filled it.

    Args:
        out: The folder of versions.
        facts: What the version is.
        write: Fills the folder, and raises an error if that may not be published.

    Raises:
        UserError: `out` cannot be written.
    """
    number = max(versions(out), default=0) + 1
    partial = out / f".{number}.partial"
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        write(partial)
        (partial / DESCRIPTION).parent.mkdir(exist_ok=True)
        (partial / DESCRIPTION).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        partial.rename(out / str(number))
    except OSError as error:
        raise UserError(f"cannot write {out}: {(error.strerror or str(error)).lower()}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    return out / str(number)


def description(model: RunModel) -> dict[str, Any]:
    """What the export is: its languages, the configuration, and the run it came from."""
    configuration = model.run.configuration.as_sections()
    checkpoint = model.checkpoint
    measured = {} if "averaged" in checkpoint.facts else model.run.dev_results().get(checkpoint.step, {})
    return {
        "pair": model.pair,
        "decoding": vars(model.options),
        "precision": model.precision,
        "model": configuration["model"],
        "training": configuration["training"],
        "checkpoint": {**measured, "step": checkpoint.step, **checkpoint.facts},
        "run": model.run.manifest,
    }


def check(graph: TranslationGraph, version: Path) -> None:
    """Holds the SavedModel, loaded by a fresh process, to the graph it was made of.

    Raises:
        UserError: They differ; the message shows the first sentence on which they do.
    """
    texts = golden_texts(graph.vocabulary, graph.options.max_source_tokens)
    found = graph.signatures()[TRANSLATE](texts=tf.constant(texts))
    expected = [
        (text.decode("utf-8", "replace"), float(value))
        for text, value in zip(found["translations"].numpy(), found["scores"].numpy(), strict=True)
    ]
    for text, ours, theirs in zip(texts, expected, fresh_translations(version, texts), strict=True):
        if ours[0] != theirs[0] or abs(ours[1] - theirs[1]) > SCORE_TOLERANCE * max(1.0, abs(ours[1])):
            raise UserError(f"the export translates {text[:80]!r} as {theirs}, the run as {ours}; not published")


def check_probabilities(graph: TranslationGraph, other: TranslationGraph, tolerance: float) -> None:
    """Holds another engine to the probabilities that the graph gives to its translations.

    Raises:
        UserError: They differ by more than `tolerance`, in nats a token.
    """
    texts = golden_texts(graph.vocabulary, graph.options.max_source_tokens)[:-1]  # the last one is split
    translations = graph.translate(tf.constant(texts)).translations[:, 0]
    ours, theirs = (scored.score(tf.constant(texts), translations) for scored in (graph, other))
    tokens = np.maximum(1, np.count_nonzero(ours.pieces != "", axis=1))
    apart = np.abs(ours.log_probabilities - theirs.log_probabilities) / tokens
    if not np.all(apart <= tolerance):
        raise UserError(
            f"the log-probabilities of the export are {apart.max():.2g} nats a token from the run's; not published"
        )


def fresh_translations(version: Path, texts: list[str]) -> list[tuple[str, float]]:
    """The SavedModel's translations and scores, from a process of its own."""
    script = Path(fresh_process.__file__)
    done = subprocess.run(
        [sys.executable, "-I", str(script), str(version)],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["no message"]
        raise UserError(f"a fresh process cannot run the export: {lines[-1]}; not published")
    return [(text, value) for text, value in json.loads(done.stdout.splitlines()[-1])]


def golden_texts(vocabulary: AnyVocabulary, max_source_tokens: int) -> list[str]:
    """Sentences of random pieces, an empty line, and a line that must be split."""
    chance = random.Random(0)
    words = [piece.lstrip("▁") for piece in vocabulary.pieces() if piece[:1] == "▁" and piece[1:].isalpha()] or ["a"]
    sentences = [" ".join(chance.choices(words, k=length)) + "." for length in GOLDEN_LENGTHS]
    return [*sentences, "", " ".join(sentences * (2 + max_source_tokens // sum(GOLDEN_LENGTHS)))]
