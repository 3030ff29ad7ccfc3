"""Prepares the evaluation of checkpoints on the dev set: chooses the sentences to translate, makes the translator."""

from collections.abc import Callable

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.decoding.translator import Translator
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import TrainingProgress
from keras_nmt.app.runtime.text_files import read_lines
from keras_nmt.app.training.callbacks.model_pictures import ModelPictures
from keras_nmt.app.training.callbacks.monitoring import DevEvaluation
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import Manifest


def dev_evaluation(run: RunDirectory, trainer: Trainer, data: DataSets, progress: TrainingProgress) -> DevEvaluation:
    """Returns the `DevEvaluation` of a run's checkpoints."""
    settings, manifest = run.configuration.training, data.manifest
    return DevEvaluation(
        run.path,
        data.dev,
        dev_sentences(manifest, settings),
        dev_translator(trainer, run.configuration, manifest),
        languages=manifest.languages,
        pictures=ModelPictures(run.path / "tensorboard", manifest.vocabulary(), run.configuration.as_sections()),
        progress=progress,
    )


def dev_translator(trainer: Trainer, configuration: Configuration, data: Manifest) -> Callable[[list[str]], list[str]]:
    """Returns a function that translates lines with the trainer's current weights."""
    graph = TranslationGraph(trainer.transformer, data.vocabulary(), configuration.decoding)
    translator = Translator(graph.signatures())
    return lambda lines: [translation.text for translation in translator.translate(lines)]


def dev_sentences(data: Manifest, settings: TrainingConfig) -> tuple[list[str], list[str]]:
    """Returns at most `settings.dev_sentences` source sentences of the dev set, and their target sentences.

    If the data has no language or domain tags, the first sentences are returned. If it has tags, the sentences are
    taken at even distances from the dev text, because the text may consist of one part for each language or domain.
    """
    source, target = (read_lines(path) for path in data.text("dev"))
    count = min(settings.dev_sentences, len(source))
    chosen = [i * len(source) // count for i in range(count)] if data.languages.tags else range(count)
    return [source[i] for i in chosen], [target[i] for i in chosen]
