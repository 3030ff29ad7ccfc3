"""Makes the text generator of an exported language model, without importing any training code."""

from typing import Any

from keras_nmt.app.decoding.generation.generator import TextGenerator
from keras_nmt.app.decoding.generation.settings import GenerationSettings
from keras_nmt.app.decoding.generation.steps import GenerationSteps
from keras_nmt.app.errors import UserError
from keras_nmt.app.models.export_layout import GENERATION_VOCABULARY
from keras_nmt.app.models.exports import ExportModel, Model, reporting_damage
from keras_nmt.pipelines.vocabulary.loading import load_vocabulary


def generator_of_export(model: Model) -> TextGenerator:
    """Returns a generator that uses the steps of a SavedModel.

    Raises:
        UserError: The model does not continue texts, or its files are damaged.
    """
    if not isinstance(model, ExportModel) or model.task.route != "generate":
        raise UserError(f"a model of {model.task.name} does not continue texts; use nmt {model.task.verb}")
    saved: Any = model.saved_model
    with reporting_damage(model.version):
        vocabulary = load_vocabulary(model.version / GENERATION_VOCABULARY)
        settings = GenerationSettings.of(model.options)
        return TextGenerator(GenerationSteps(saved.begin_steps, saved.advance_steps, vocabulary, settings))
