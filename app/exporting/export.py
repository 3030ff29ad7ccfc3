"""Implements `nmt export`: writes a run as a SavedModel, which translates strings, or as a CTranslate2 model.

`generation` writes the run of a language model.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from keras_nmt.app.decoding.ctranslate2_graph import CTranslate2Graph
from keras_nmt.app.decoding.engine import TranslationEngine
from keras_nmt.app.decoding.signatures import TRANSLATE, Signatures
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.errors import UserError
from keras_nmt.app.exporting.golden_translations import (
    check_in_fresh_process,
    golden_translations,
    made_up_sentences,
    write_golden_translations,
)
from keras_nmt.app.exporting.model_card import model_card
from keras_nmt.app.exporting.signature_definitions import signature_definitions
from keras_nmt.app.exporting.spare_ops import remove_spare_ops
from keras_nmt.app.exporting.usage import ctranslate2_usage, example_of, saved_model_usage
from keras_nmt.app.exporting.warm_up import write_warm_up
from keras_nmt.app.models.ctranslate2_model import Quantization, write_ctranslate2
from keras_nmt.app.models.export_layout import DESCRIPTION, ENGINE, MODEL_CARD, versions
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.runs.directory import spec_without_folders
from keras_nmt.app.runtime.console import say
from keras_nmt.app.runtime.utf8_names import in_utf8
from keras_nmt.pipelines.atomic_files import atomic_folder
from keras_nmt.pipelines.vocabulary.tags import tagged

CpuEngine = Literal["int8", "float32", "none"]

PROBABILITY_TOLERANCES: dict[Quantization, float] = {"float32": 1e-3, "int8": 0.3}  # in nats per token


class ExportedTranslation(tf.Module):
    """The contents of a SavedModel: the weights, the tokeniser's resource, and the signatures as methods.

    After `model = tf.saved_model.load(…)`, calls of methods, such as `model.translate(["…"])`, may omit arguments that
    have defaults. Calls of functions in `model.signatures` must give all arguments.
    """

    def __init__(self, graph: TranslationGraph, signatures: Signatures) -> None:
        super().__init__(name="translation")
        for name, function in signatures.items():
            setattr(self, name, function)
        self.weights = [weight.value for weight in graph.transformer.weights]
        self.vocabulary = graph.vocabulary


def export(
    model: RunModel,
    out: Path,
    *,
    cpu_engine: CpuEngine = "int8",
    license: str | None = None,
    precision_reason: str = "",
    checked: bool = True,
) -> Path:
    """Writes the next version of a SavedModel; returns its folder, `out`/VERSION.

    The folder also contains:

    - golden translations, which a new process with only TensorFlow and TensorFlow Text must reproduce before the
      version is published;
    - warm-up requests for TensorFlow Serving;
    - a model card;
    - the same weights for CTranslate2, which makes `nmt translate` and `nmt serve` several times as fast on a CPU.

    Args:
        model: The run to export.
        out: The folder that contains the versions of the export.
        cpu_engine: The precision of CTranslate2: "int8", which becomes "float32" if int8 is too inexact for this model,
            or "float32". "none" omits CTranslate2, as is always done for a model that it does not support: an ensemble,
            or a model with `word_token` or `copying`.
        license: The model's licence, as an identifier of the Hugging Face Hub. If None, the model card asks for it.
        precision_reason: The reason for the precision of the model, shown in the model card.
        checked: False to omit the check in a new process, for an export that is not kept.

    Raises:
        UserError: `out` cannot be written, the new process does not reproduce the golden translations, or a language
            model helps to translate.
    """
    if model.language_model:
        raise UserError("an export has no language model beside the translation model; load the run alone")
    parameters = model.graph.transformer.count_params()
    facts = {**description(model, parameters), "license": license, "precision_reason": precision_reason}

    def write(folder: Path) -> None:
        graph = model.graph
        facts["cpu_engine"] = write_engine(model, folder / ENGINE, cpu_engine)
        signatures = graph.signatures()
        no_training = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        exported = ExportedTranslation(graph, signatures)
        tf.saved_model.save(exported, str(folder), signatures=signatures, options=no_training)
        remove_spare_ops(folder)
        sentences = tagged_examples(model)
        translations = golden_translations(
            signatures[TRANSLATE], sentences, model.languages, model.options.max_source_tokens
        )
        write_golden_translations(folder, translations, model.precision)
        write_warm_up(folder, translations[: len(sentences)], graph.vocabulary)
        definitions = signature_definitions(folder)
        facts["signatures"] = list(definitions)
        example = example_of(translations[: len(sentences)])
        usage = saved_model_usage(definitions, example, model.task.card.outputs)
        write_card(folder, model_card(facts, translations[: len(sentences)], usage))
        if checked:
            check_in_fresh_process(folder)

    return published(out, facts, write)


def write_engine(model: RunModel, folder: Path, wanted: CpuEngine) -> CpuEngine:
    """Writes the weights for CTranslate2; returns their precision, or "none" if they were not written.

    If CTranslate2 does not support the model, a message is printed.
    CTranslate2 and the run must give similar probabilities to the run's translations. If they do not, a message is
    printed. If the precision was int8, float32 is tried next; otherwise, no weights are written.
    """
    if wanted == "none":
        return "none"
    if reason := model.not_for_ctranslate2():
        say(f"{reason}; using the SavedModel alone")
        return "none"
    reference = model.in_float32()
    quantizations: list[Quantization] = ["int8", "float32"] if wanted == "int8" else ["float32"]
    for quantization in quantizations:
        folder.mkdir(parents=True)
        write_ctranslate2(reference.transformer, reference.vocabulary, folder, quantization)
        apart = nats_apart(reference, CTranslate2Graph(folder, model.options), tagged_examples(model))
        if apart <= PROBABILITY_TOLERANCES[quantization]:
            return quantization
        shutil.rmtree(folder)
        instead = "float32" if quantization != quantizations[-1] else "the SavedModel alone"
        say(
            f"CTranslate2 in {quantization} has log-probabilities {apart:.2g} nats a token from the run's, where "
            f"{PROBABILITY_TOLERANCES[quantization]:g} are allowed; using {instead}"
        )
    return "none"


def export_ctranslate2(model: RunModel, out: Path, quantization: Quantization, *, license: str | None = None) -> Path:
    """Writes the next version as a CTranslate2 model with its vocabulary; returns its folder, `out`/VERSION.

    The run translates some test sentences. CTranslate2 must give these translations about the same probabilities as the
    run does.

    Raises:
        UserError: `out` cannot be written, CTranslate2 does not support the model, or the probabilities differ too
            much.
    """
    model.refuse_ctranslate2()
    parameters = model.graph.transformer.count_params()
    made = {"format": "ctranslate2", "quantization": quantization, "license": license}
    facts = {**description(model, parameters), **made}

    def write(folder: Path) -> None:
        write_ctranslate2(model.graph.transformer, model.graph.vocabulary, folder, quantization)
        theirs = CTranslate2Graph(folder, model.options)
        sentences = tagged_examples(model)
        check_probabilities(model.graph, theirs, sentences, PROBABILITY_TOLERANCES[quantization])
        translate = theirs.signatures()[TRANSLATE]
        translations = golden_translations(translate, sentences, model.languages, model.options.max_source_tokens)
        translations = translations[: len(sentences)]
        usage = ctranslate2_usage(translations[len(sentences) // 2], vars(model.options))
        write_card(folder, model_card(facts, translations, usage))

    return published(out, facts, write)


def tagged_examples(model: RunModel) -> list[str]:
    """Returns sentences with tags to test an export.

    They are the example sentences that were taken from the dev set and stored in the run. If the run has none, the
    sentences consist of random words.
    """
    if examples := model.run.manifest.get("examples"):
        return list(examples)
    tags = model.languages.tags_of(model.languages.targets[0])
    return [tagged(model.task.prepared(text), tags) for text in made_up_sentences(model.run.vocabulary())]


def write_card(folder: Path, card: str) -> None:
    """Writes the model card where the Hugging Face Hub expects it."""
    (folder / MODEL_CARD).write_text(card, encoding="utf-8")


def published(out: Path, facts: dict[str, Any], write: Callable[[Path], None]) -> Path:
    """Writes a folder and renames it to the next version of an export; returns the folder, `out`/VERSION.

    Args:
        out: The folder that contains the versions of the export.
        facts: The description of the version.
        write: The function that writes the files into a folder. It raises an error if the files must not be published.

    Raises:
        UserError: `out` cannot be written.
    """
    version = out / str(max(versions(out), default=0) + 1)
    try:
        with atomic_folder(version) as folder:
            write(Path(in_utf8(folder)))
            (folder / DESCRIPTION).parent.mkdir(exist_ok=True)
            (folder / DESCRIPTION).write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"cannot write {out}: {(error.strerror or str(error)).lower()}") from error
    finally:
        if out.is_dir() and not any(out.iterdir()):
            out.rmdir()
    return version


def description(model: RunModel, parameters: int) -> dict[str, Any]:
    """Returns the description of an export: the languages, the configuration, the run and the measured scores.

    If the weights are an average of several checkpoints, the dev results are those of the averaged checkpoints.

    Args:
        model: The run.
        parameters: The number of values in its weights.
    """
    configuration = model.run.configuration.as_sections()
    training = configuration["training"]
    checkpoint = model.checkpoint
    averaged = checkpoint.facts.get("averaged")
    measured = [line for step, line in model.run.dev_results().items() if step in (averaged or [checkpoint.step])]
    return {
        "pair": str(model.languages.pairs[0]),
        "pairs": list(map(str, model.languages.pairs)),
        "domains": list(model.languages.domains),
        "decoding": vars(model.options),
        "precision": model.precision,
        "model": configuration["model"],
        "training": {**training, "warm_start": Path(training["warm_start"]).name},
        "parameters": parameters,
        "checkpoint": {"step": checkpoint.step, **checkpoint.facts},
        "ensemble": [{"run": other.run.path.name, "step": other.checkpoint.step} for other in model.others],
        "dev_results": measured,
        "evaluations": [
            {**line, "text": spec_without_folders(line["text"])} for line in model.run.evaluations(checkpoint)
        ],
        "run": model.run.manifest,
    }


def check_probabilities(
    graph: TranslationEngine, other: TranslationEngine, texts: Sequence[str], tolerance: float
) -> None:
    """Translates texts with `graph`, and checks that both engines give these translations similar log-probabilities.

    Raises:
        UserError: The log-probabilities differ by more than `tolerance`, in nats per token.
    """
    apart = nats_apart(graph, other, texts)
    if not apart <= tolerance:
        raise UserError(
            f"the log-probabilities of the export are {apart:.2g} nats a token from the run's; not published"
        )


def nats_apart(graph: TranslationEngine, other: TranslationEngine, texts: Sequence[str]) -> float:
    """Returns the largest difference between two engines' log-probabilities of a translation, in nats per token.

    `graph` translates the texts and an empty text. Both engines then score each of these translations.
    """
    texts = [*texts, ""]
    translations = graph.translate(tf.constant(texts)).translations[:, 0]
    ours, theirs = (scored.score(tf.constant(texts), translations) for scored in (graph, other))
    tokens = np.maximum(1, np.count_nonzero(ours.pieces != "", axis=1))
    return float(np.max(np.abs(ours.log_probabilities - theirs.log_probabilities) / tokens))
