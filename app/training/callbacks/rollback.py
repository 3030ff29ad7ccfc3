"""Rolls back after a divergence: restores the last good checkpoint, skips batches and halves the learning rate.

The batches between that checkpoint and the divergence are skipped. Skipped batches count as steps, so that
`Trainer.step` is still the position in the data. But the weights are not updated on skipped batches, and the
learning-rate schedule continues from its position at the checkpoint.

The restored state is saved immediately as a checkpoint of the step at which the training diverged. So a run that is
killed after the rollback resumes as if it had not been killed. `metrics.jsonl` keeps the lines of the skipped steps,
and a line about the rollback is added.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs import step_lines
from keras_nmt.app.runs.checkpoints import ROLLED_BACK_TO, Checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say
from keras_nmt.app.training.callbacks.divergence import Diverged, DivergenceDetector
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.streaming.packed_batches import unpacked_sentences
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

RATE_FACTOR = 0.5
USUAL_LOSS_SCALE = 1.0  # if the scale is lower and a gradient still overflows, the scale is not the cause


class StopOnDivergence(keras.callbacks.Callback):
    """Ends `fit` at a divergence. Must come before `Milestones`, so that bad weights are not saved as a checkpoint.

    With float16, an update may be skipped because the loss scale is too large and a gradient overflows. Such a skipped
    update is harmless, because the optimizer then halves the scale. So a skipped update makes a step bad only if the
    loss scale is below 1.
    """

    def __init__(self, detector: DivergenceDetector) -> None:
        super().__init__()
        self.detector = detector

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Raises `Diverged` if the training has diverged at this step."""
        optimizer = self.model.optimizer
        overflow = optimizer.dynamic_loss_scale and _number(optimizer.loss_scale) >= USUAL_LOSS_SCALE
        self.detector.observe(self.model.step, float(logs["loss"]), skipped=bool(logs["skipped"]) and not overflow)


def recover(trainer: Trainer, diverged: Diverged, rollback: "Rollback | None") -> None:
    """Restores the last good weights on the chief, or raises an error after too many rollbacks.

    All machines must call this at the same time.

    Args:
        trainer: The trainer at the step of the divergence. Its step does not change.
        diverged: The divergence.
        rollback: The object that restores the run, on the chief. None on the other machines, which must copy the
            chief's state afterwards.

    Raises:
        UserError: The training has already rolled back `max_rollbacks` times.
    """
    allowed = trainer.settings.max_rollbacks
    # Each rollback halves the rate factor, so the factor gives the number of rollbacks. The factor is the same on
    # all machines and is stored in each checkpoint.
    exhausted = round(math.log(_number(trainer.optimizer.rate_factor), RATE_FACTOR)) >= allowed
    if rollback:
        rollback.write_bad_batches(trainer.step, diverged)
        good = rollback.drop_untrusted(diverged)
        if exhausted:
            say(rollback.report(trainer.step, diverged, good))
        else:
            rollback.go_back(trainer, diverged, good)
    if exhausted:
        raise UserError(
            f"the training diverged at step {trainer.step}, after training.max_rollbacks = {allowed}; look at "
            f"{batches_name(trainer.step)} in the run and lower training.learning_rate, or continue with --set "
            f"training.max_rollbacks={allowed + 1}"
        )


def batches_name(step: int) -> str:
    """Returns the path, in the run's folder, of the file that lists the bad batches of a divergence at `step`."""
    return f"divergence/step-{step:08d}.txt"


@dataclass(frozen=True)
class Rollback:
    """Restores an earlier state of a run.

    Attributes:
        run: The run.
        vocabulary: The vocabulary, which decodes batches into text.
        batches_after: A function that returns the batches after a step.
        reset: A function that resets the trainer to the state with which its training started.
        save: A function that writes a checkpoint of the current step, with the given facts in `checkpoint.json`.
    """

    run: RunDirectory
    vocabulary: Vocabulary
    batches_after: Callable[[int], tf.data.Dataset]
    reset: Callable[[], None]
    save: Callable[[dict[str, Any]], None]

    @property
    def metrics(self) -> Path:
        """The path of `metrics.jsonl`, which has one line for each step and one line for each rollback."""
        return self.run.path / "metrics.jsonl"

    def write_bad_batches(self, step: int, diverged: Diverged) -> None:
        """Reports the divergence, and writes the sentence pairs of the bad steps to a file, as `source ||| target`."""
        file = self.run.path / batches_name(step)
        say(f"step {step}  diverged: {diverged}; see {file}")
        bad = {each.step: each for each in diverged.bad}
        first = min(bad)
        batches = self.batches_after(first - 1).take(max(bad) - first + 1)
        file.parent.mkdir(exist_ok=True)
        with file.open("w", encoding="utf-8") as text:
            for number, (inputs, labels, *_) in enumerate(batches.as_numpy_iterator(), start=first):
                if number in bad:
                    sides = (self.vocabulary.decode(ids).numpy().tolist() for ids in unpacked_sentences(inputs, labels))
                    text.write(f"# step {number}: {bad[number]}\n")
                    pairs = zip(*sides, strict=True)
                    text.writelines(f"{s.decode()} ||| {t.decode()}\n" for s, t in pairs if s or t)  # omits empty rows

    def drop_untrusted(self, diverged: Diverged) -> Checkpoint | None:
        """Removes all checkpoints that are newer than the last good checkpoint, and all dev results of later steps.

        Returns:
            The last good checkpoint: its files are undamaged, all its numbers are finite, and its step is at most
            `diverged.good_step`. None if no checkpoint is good.
        """
        good = self.run.checkpoints.back_to(diverged.good_step)
        step_lines.cut_after(self.run.path / "dev.jsonl", good.step if good else 0)
        return good

    def go_back(self, trainer: Trainer, diverged: Diverged, good: Checkpoint | None) -> None:
        """Restores the good checkpoint, or the initial state if `good` is None, and halves the learning rate.

        Saves the restored state as a checkpoint, and reports the rollback.
        """
        step, rate_factor = trainer.step, RATE_FACTOR * _number(trainer.optimizer.rate_factor)
        if good:
            good.restore(trainer.transformer, trainer.optimizer)
        else:
            self.reset()
        trainer.optimizer.rate_factor.assign(rate_factor)
        back_to = good.step if good else 0
        facts = {"diverged": str(diverged), ROLLED_BACK_TO: back_to, "rate_factor": rate_factor}
        step_lines.append(self.metrics, {"step": step, **facts})
        self.save(facts)
        batches = f"skipping the batches of steps {back_to + 1} to {step}"
        say(f"{batches}, continuing at {rate_factor:g} times the learning rate")

    def report(self, step: int, diverged: Diverged, good: Checkpoint | None) -> str:
        """Returns lines that list the run's divergences, and say what to look at and which settings to change."""
        settings = self.run.configuration.training
        before = [line for line in step_lines.read(self.metrics) if ROLLED_BACK_TO in line]
        names = ("learning_rate", "warmup_steps", "clip_norm", "batch_tokens", "precision")
        return "\n".join(
            [
                f"the training diverged {len(before) + 1} time(s):",
                *(f"  step {line['step']}: {line['diverged']}; back to step {line[ROLLED_BACK_TO]}" for line in before),
                f"  step {step}: {diverged}; given up",
                f"look at: the sentences in {self.run.path / 'divergence'}, the figures in {self.metrics}",
                f"trained with: {', '.join(f'{name}={getattr(settings, name)}' for name in names)}",
                "change: lower learning_rate, more warmup_steps, clip_norm=1.0, precision=float32; with another --out",
                f"kept: {f'the checkpoint of step {good.step}' if good else 'no checkpoint, since none was good yet'}",
            ]
        )


def _number(variable: keras.Variable) -> float:
    return float(keras.ops.convert_to_numpy(variable))
