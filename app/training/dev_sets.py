"""The evaluation of checkpoints on the dev set: the sentences, and the function that computes the model's output."""

from collections.abc import Callable

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.directory import RunDirectory, example_sentences
from keras_nmt.app.runtime.console import TrainingProgress
from keras_nmt.app.runtime.text_files import read_lines
from keras_nmt.app.tasks.known import task_named
from keras_nmt.app.tasks.samples import SAMPLES
from keras_nmt.app.training.callbacks.model_pictures import ModelPictures
from keras_nmt.app.training.callbacks.monitoring import DevEvaluation
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import Manifest


def dev_evaluation(run: RunDirectory, trainer: Trainer, data: DataSets, progress: TrainingProgress) -> DevEvaluation:
    """Returns the `DevEvaluation` of a run's checkpoints."""
    settings, manifest = run.configuration.training, data.manifest
    sentences = dev_sentences(manifest, settings)
    return DevEvaluation(
        run.path,
        data.dev,
        sentences,
        dev_runner(trainer, run.configuration, manifest) if sentences[0] else list,
        task=run.task,
        languages=manifest.languages,
        pictures=ModelPictures(run.path / "tensorboard", manifest.vocabulary(), run.configuration.as_sections()),
        progress=progress,
    )


def dev_runner(trainer: Trainer, configuration: Configuration, data: Manifest) -> Callable[[list[str]], list[str]]:
    """Returns a function that computes the output for each line, such as its translation, with the current weights."""
    task = task_named(data.task)
    return task.runner(task.engine(trainer.transformer, data.vocabulary(), configuration.decoding))


def check_scoring(data: Manifest) -> None:
    """Raises `UserError` if a package is missing that the scores on the dev set need."""
    try:
        task_named(data.task).check_scoring(data.languages.targets)
    except UserError as error:
        raise UserError(f"{error}, or set training.dev_sentences=0") from error


def dev_sentences(data: Manifest, settings: TrainingConfig) -> tuple[list[str], list[str]]:
    """Returns at most `settings.dev_sentences` source sentences of the dev set, and their target sentences.

    Running text yields prompts, the beginnings of lines, without references; at most as many as TensorBoard shows.

    If the data has no language or domain tags, the first sentences are returned. If it has tags, the sentences are
    taken at even distances from the dev text, because the text may consist of one part for each language or domain.
    """
    if data.split("dev").running_text:
        prompts = example_sentences(data, min(settings.dev_sentences, SAMPLES))
        return prompts, [""] * len(prompts)
    if not data.split("dev").text:
        return [], []
    source, target = (read_lines(path) for path in data.text("dev"))
    count = min(settings.dev_sentences, len(source))
    chosen = [i * len(source) // count for i in range(count)] if data.languages.tags else range(count)
    return [source[i] for i in chosen], [target[i] for i in chosen]
