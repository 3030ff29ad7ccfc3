"""Implements `nmt export` for language models: writes a run as a SavedModel that continues texts."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.generation.stepper import steps_of
from keras_nmt.app.decoding.signatures import DEFAULT, GENERATE, Signatures
from keras_nmt.app.errors import UserError
from keras_nmt.app.exporting.export import CpuEngine, description, published, tagged_examples, write_card, write_engine
from keras_nmt.app.exporting.golden_translations import (
    GoldenTranslation,
    check_in_fresh_process,
    golden_texts,
    write_golden_translations,
)
from keras_nmt.app.exporting.model_card import model_card
from keras_nmt.app.exporting.signature_definitions import signature_definitions
from keras_nmt.app.exporting.spare_ops import remove_spare_ops
from keras_nmt.app.exporting.usage import example_of, generation_usage
from keras_nmt.app.exporting.warm_up import write_warm_up
from keras_nmt.app.models.export_layout import ENGINE, GENERATION_VOCABULARY
from keras_nmt.app.models.loading import RunModel


class ExportedGeneration(tf.Module):
    """The contents of a SavedModel: the weights, the tokeniser's resource, the signatures and the steps as methods.

    `begin_steps` and `advance_steps` are the functions of `GenerationSteps`. They are no signatures, because their
    state has keys and values, which no client should send.
    """

    def __init__(self, graph: GenerationGraph, signatures: Signatures) -> None:
        super().__init__(name="generation")
        for name, function in signatures.items():
            setattr(self, name, function)
        steps = steps_of(graph)
        self.begin_steps, self.advance_steps = steps.begin, steps.advance
        self.weights = [weight.value for weight in graph.model.weights]
        self.vocabulary = graph.vocabulary


def export_generator(
    model: RunModel,
    out: Path,
    *,
    cpu_engine: CpuEngine = "int8",
    license: str | None = None,
    precision_reason: str = "",
    checked: bool = True,
) -> Path:
    """Writes the next version of a language model as a SavedModel; returns its folder, `out`/VERSION.

    The arguments and the other contents of the folder are those of `export`. Its golden texts are drawn with a fixed
    seed. The vocabulary is also in a file, because `nmt generate` and `nmt serve` decode tokens without TensorFlow.

    Raises:
        UserError: The run is no language model, `out` cannot be written, or the new process does not reproduce the
            golden texts.
    """
    graph = model.engine
    if not isinstance(graph, GenerationGraph):
        raise UserError(f"{model.run.path} is a model of {model.task.name}, not a language model")
    facts = {**description(model, graph.model.count_params()), "license": license, "precision_reason": precision_reason}
    if not graph.vocabulary.is_of_words:
        add_bits_per_character(facts)

    def write(folder: Path) -> None:
        facts["cpu_engine"] = write_engine(model, folder / ENGINE, cpu_engine)
        signatures = graph.signatures()
        no_training = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        exported = ExportedGeneration(graph, signatures)
        tf.saved_model.save(exported, str(folder), signatures=signatures, options=no_training)
        remove_spare_ops(folder)
        prompts = tagged_examples(model)
        texts = golden_continuations(
            signatures, golden_texts(prompts, model.options.max_source_tokens, model.languages)
        )
        write_golden_translations(folder, texts, model.precision, GENERATE)
        graph.vocabulary.save(folder / GENERATION_VOCABULARY)
        shown = texts[: len(prompts)]
        write_warm_up(folder, shown, graph.vocabulary)
        definitions = signature_definitions(folder)
        facts["signatures"] = list(definitions)
        write_card(folder, model_card(facts, shown, generation_usage(definitions, example_of(shown))))
        if checked:
            check_in_fresh_process(folder)

    return published(out, facts, write)


def golden_continuations(signatures: Signatures, prompts: Sequence[str]) -> list[GoldenTranslation]:
    """Continues prompts with the seed 0 and the settings of the model."""
    found = signatures[DEFAULT](prompts=tf.constant(prompts))
    texts = [text.decode("utf-8", "replace") for text in found["texts"].numpy()]
    return [*map(GoldenTranslation, prompts, texts, found["scores"].numpy().tolist())]


def add_bits_per_character(facts: dict[str, Any]) -> None:
    """Adds the bits a character to the dev results, if the run knows how many characters the dev set has."""
    dev = facts["run"].get("corpora", {}).get("dev", {})
    characters = dev.get("text", {}).get("characters")
    for line in facts["dev_results"] if characters else ():
        nats = math.log(line["dev_perplexity"]) * dev["target_tokens"]
        line["dev_bits_per_character"] = round(nats / characters / math.log(2), 3)
