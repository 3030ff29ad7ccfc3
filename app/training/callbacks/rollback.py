"""Rollback after a divergence: restores the last good checkpoint, skips the batches since, halves the learning rate.

The batches from that checkpoint to the divergence are skipped. They count as steps, so that `Trainer.step` stays the
position in the data, but they make no updates, and the learning-rate schedule continues from the checkpoint.
The restored state is saved at once as a checkpoint of the divergence's step, so that a run that is killed afterwards
resumes as if it had not been. `metrics.jsonl` keeps the lines of the skipped steps and gets a line about the rollback.
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
from keras_nmt.pipelines.streaming.packed_batches import sentences_of
from keras_nmt.pipelines.vocabulary.tokenizer import Vocabulary

RATE_FACTOR = 0.5
USUAL_LOSS_SCALE = 1.0  # below it, a smaller scale would not help a gradient that overflows in float16


class StopOnDivergence(keras.callbacks.Callback):
    """Ends `fit` at a divergence; belongs before the callback that saves the state after a step.

    An update that is skipped because a float16 gradient overflowed is harmless, since it halves the scale of the loss;
    it counts as skipped only if the scale is already very small.
    """

    def __init__(self, detector: DivergenceDetector) -> None:
        super().__init__()
        self.detector = detector

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Raises `Diverged` if this step completes a divergence."""
        optimizer = self.model.optimizer
        overflow = optimizer.dynamic_loss_scale and _number(optimizer.loss_scale) >= USUAL_LOSS_SCALE
        self.detector.observe(self.model.step, float(logs["loss"]), skipped=bool(logs["skipped"]) and not overflow)


def recover(trainer: Trainer, diverged: Diverged, rollback: "Rollback | None") -> None:
    """Goes back to good weights on the chief; all machines call it at once.

    Args:
        trainer: At the step of the divergence, at which it stays.
        diverged: The divergence.
        rollback: The chief's. The other machines have none and must take over the chief's state afterwards.

    Raises:
        UserError: The training has already gone back `max_rollbacks` times.
    """
    allowed = trainer.settings.max_rollbacks
    # Each rollback halved the factor, which is the same on all machines and part of each checkpoint.
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
    """Returns the name of the file in the run that lists the bad batches of a divergence at `step`."""
    return f"divergence/step-{step:08d}.txt"


@dataclass(frozen=True)
class Rollback:
    """Goes back to an earlier state of a run.

    Attributes:
        run: The run.
        vocabulary: Decodes batches into text.
        batches_after: Returns the batches that follow a step.
        reset: Resets the trainer to the state with which its training started.
        save: Writes a checkpoint with the given facts.
    """

    run: RunDirectory
    vocabulary: Vocabulary
    batches_after: Callable[[int], tf.data.Dataset]
    reset: Callable[[], None]
    save: Callable[[dict[str, Any]], None]

    @property
    def metrics(self) -> Path:
        """The file with one line a step and one line a rollback."""
        return self.run.path / "metrics.jsonl"

    def write_bad_batches(self, step: int, diverged: Diverged) -> None:
        """Reports the divergence, and writes the sentences of the bad steps to a file, as `source ||| target`."""
        file = self.run.path / batches_name(step)
        say(f"step {step}  diverged: {diverged}; see {file}")
        bad = {each.step: each for each in diverged.bad}
        first = min(bad)
        batches = self.batches_after(first - 1).take(max(bad) - first + 1)
        file.parent.mkdir(exist_ok=True)
        with file.open("w", encoding="utf-8") as text:
            for number, (inputs, labels, *_) in enumerate(batches.as_numpy_iterator(), start=first):
                if number in bad:
                    sides = (self.vocabulary.decode(ids).numpy().tolist() for ids in sentences_of(inputs, labels))
                    text.write(f"# step {number}: {bad[number]}\n")
                    pairs = zip(*sides, strict=True)
                    text.writelines(f"{s.decode()} ||| {t.decode()}\n" for s, t in pairs if s or t)  # no empty rows

    def drop_untrusted(self, diverged: Diverged) -> Checkpoint | None:
        """Returns the last trusted checkpoint, if there is one; removes later ones and their dev results."""
        good = self.run.checkpoints.back_to(diverged.good_step)
        step_lines.cut_after(self.run.path / "dev.jsonl", good.step if good else 0)
        return good

    def go_back(self, trainer: Trainer, diverged: Diverged, good: Checkpoint | None) -> None:
        """Restores the last good checkpoint, or the first state, at half the learning rate; saves and reports it."""
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
        """Returns lines that say what happened in the whole run, what to look at and what to change."""
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
