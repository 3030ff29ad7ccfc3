"""Records a training in `metrics.jsonl`, in TensorBoard and on the progress bar, and evaluates it on the dev set."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_nmt.app.runs import step_lines
from keras_nmt.app.runtime.console import TrainingProgress
from keras_nmt.app.runtime.utf8_names import in_utf8
from keras_nmt.app.tasks.samples import SAMPLES
from keras_nmt.app.tasks.task import Task
from keras_nmt.app.training.callbacks.model_pictures import ModelPictures
from keras_nmt.app.training.trainer import Trainer, target_weight
from keras_nmt.pipelines.vocabulary.tags import Languages

SCALARS = ("loss", "perplexity", "accuracy", "learning_rate", "gradient_norm", "padding_share")


class StepLog(keras.callbacks.Callback):
    """Writes the metrics of each step to `metrics.jsonl` and TensorBoard, and shows loss and speed on the progress bar.

    A line of `metrics.jsonl` has the fields step (counted from 1), loss and cross_entropy (nats per target token),
    accuracy, gradient_norm, learning_rate, source_tokens, target_tokens, padding_share, skipped (1 if the update was
    skipped) and seconds (wall time of the step). If the data has loss weights, loss, cross_entropy and accuracy are
    weighted means over the tokens. A rollback adds a line with other fields; see `rollback`.
    """

    def __init__(self, run: Path, progress: TrainingProgress) -> None:
        super().__init__()
        self.file = run / "metrics.jsonl"
        self.writer = tf.summary.create_file_writer(in_utf8(run / "tensorboard"))
        self.progress = progress
        self.started = 0.0

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Stores the time at which the step starts."""
        self.started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Writes the metrics of one step."""
        figures = {name: float(value) for name, value in (logs or {}).items()}
        seconds = time.perf_counter() - self.started
        step = self.model.step
        # JSON has no NaN and no infinity, so a metric that is not finite is written as null.
        finite = {name: value if math.isfinite(value) else None for name, value in figures.items()}
        line = {"step": step, **finite, "seconds": round(seconds, 6)}
        line |= {name: int(figures[name]) for name in ("source_tokens", "target_tokens")}
        step_lines.append(self.file, line)
        self.progress.advance(step, figures["loss"], int(figures["target_tokens"]), seconds)
        figures["perplexity"] = math.exp(min(figures["cross_entropy"], 50.0))
        with self.writer.as_default(step=step):
            for name in SCALARS:
                tf.summary.scalar(name, figures[name])
            for name in ("source_tokens", "target_tokens"):
                tf.summary.scalar(f"{name}_per_second", figures[name] / seconds)

    def flush(self) -> None:
        """Flushes the log files. Called before a checkpoint is written, so the files include the checkpoint's step."""
        step_lines.sync(self.file)
        self.writer.flush()


def skipped_steps(run: Path) -> int:
    """Returns the number of steps in a run's `metrics.jsonl` without an update, because the gradient was not finite."""
    return sum(bool(line.get("skipped")) for line in step_lines.read(run / "metrics.jsonl"))


class DevEvaluation:
    """The evaluation of a checkpoint: dev loss, the score of the output for dev sources, and samples of the output.

    Args:
        run: The folder for `dev.jsonl` and the TensorBoard files.
        batches: The dev set, in batches like those of training.
        sentences: The source lines and their references. If there are no lines, there is no output to score.
        run_model: A function that returns the output of the current weights for each line.
        task: The task, which scores the output.
        languages: The languages of the data.
        pictures: The writer of attention pictures, histograms and other data about the model.
        progress: The progress bar, which prints the results.
    """

    def __init__(
        self,
        run: Path,
        batches: tf.data.Dataset,
        sentences: tuple[list[str], list[str]],
        run_model: Callable[[list[str]], list[str]],
        *,
        task: Task,
        languages: Languages,
        pictures: ModelPictures,
        progress: TrainingProgress,
    ) -> None:
        self.file = run / "dev.jsonl"
        self.writer = tf.summary.create_file_writer(in_utf8(run / "tensorboard"))
        self.batches = batches
        self.sources, self.references = sentences
        self.run_model = run_model
        self.task = task
        self.languages = languages
        self.pictures = pictures
        self.progress = progress

    def evaluate(self, trainer: Trainer) -> None:
        """Evaluates the current weights, or their moving averages if there are any.

        Writes the results to `dev.jsonl` and TensorBoard, and prints them. The results are dev_loss and dev_perplexity
        and, if there are sentences, the scores of the task, for example dev_bleu.
        """
        with trainer.averaged_weights():
            results = dev_loss(trainer, self.batches)
            outputs = self.run_model(self.sources) if self.sources else []
            if outputs:
                results |= self.task.dev_scores(self.sources, outputs, self.references, self.languages)
            with self.writer.as_default(step=trainer.step):
                self.pictures.write(trainer, list(zip(self.sources, outputs, strict=False)), results)
        step_lines.append(self.file, {"step": trainer.step, **results})
        with self.writer.as_default(step=trainer.step):
            for name, value in results.items():
                tf.summary.scalar(name, value)
            if outputs:
                shown = (texts[:SAMPLES] for texts in (self.sources, outputs, self.references))
                tf.summary.text("samples", self.task.samples(*shown))
        self.writer.flush()
        self.progress.evaluated(trainer.step, results)


def dev_loss(trainer: Trainer, batches: tf.data.Dataset) -> dict[str, float]:
    """Computes the mean loss and the perplexity over all real target tokens of the batches.

    Returns:
        "dev_loss", the label-smoothed cross entropy in nats, and "dev_perplexity", which has no smoothing. If the data
        has loss weights, the means are weighted by the loss weights of the tokens.
    """
    loss = cross_entropy = weight = 0.0
    for inputs, labels, *weights in batches:
        counts = weights[0] if weights else tf.ones(tf.shape(labels)[:1])
        sums = trainer.dev_sums(inputs, labels, counts)
        loss += float(sums.loss)
        cross_entropy += float(sums.cross_entropy)
        weight += float(target_weight(labels, counts))
    return {
        "dev_loss": round(loss / (weight or 1.0), 4),
        "dev_perplexity": round(math.exp(min(cross_entropy / (weight or 1.0), 50.0)), 3),
    }
