"""Milestones: the steps at which a training saves and evaluates a checkpoint, prunes old ones, and may stop early."""

from collections.abc import Callable
from typing import Any

import keras

from keras_nmt.app.config import TrainingConfig
from keras_nmt.app.runs.checkpoints import STOPPED_BY
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runs.ranking import LOSS, evaluations_since_best, ranked
from keras_nmt.app.runtime.console import say
from keras_nmt.app.runtime.signals import StopSignals
from keras_nmt.app.training.callbacks.monitoring import DevEvaluation, StepLog
from keras_nmt.app.training.trainer import Trainer

Agreement = Callable[[bool], bool]  # all machines call it at the same time; it returns the chief's value


class Milestones(keras.callbacks.Callback):
    """The chief's callback for milestones, which are the multiples of `checkpoint_every` and the last step.

    This callback must come after `StepLog` in the list of callbacks. At a milestone, it writes a regular checkpoint and
    then evaluates the checkpoint. If the evaluation is interrupted, `catch_up` repeats the evaluation when the training
    resumes. After a signal, the callback writes an irregular checkpoint, which is removed at the next milestone.

    Args:
        run: The run, to which checkpoints and results are written.
        trainer: The trainer to save and evaluate.
        log: The log of the steps, which is flushed before a checkpoint is written.
        dev: The evaluation on the dev set.
        signals: The signals that stop the training.
        agree: A function that sends the other machines the decision whether the training is over; see `ChiefFollower`.
    """

    def __init__(
        self,
        run: RunDirectory,
        trainer: Trainer,
        log: StepLog,
        dev: DevEvaluation,
        signals: StopSignals,
        *,
        agree: Agreement,
    ) -> None:
        super().__init__()
        self.run = run
        self.settings = run.configuration.training
        self.trainer = trainer
        self.log = log
        self.dev = dev
        self.signals = signals
        self.agree = agree

    def catch_up(self) -> None:
        """Evaluates the checkpoint from which the training resumes, if its evaluation was interrupted."""
        if is_unevaluated(self.run, self.trainer.step):
            self.evaluate()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """At a milestone, saves and evaluates a checkpoint. After a signal, saves a checkpoint and raises `Stopped`."""
        step = self.trainer.step
        if is_milestone(self.settings, step):
            self.save({})
            self.evaluate()
            self.agree(self.trainer.stop_training)
        elif self.signals.received:
            name = self.signals.received.name
            self.log.progress.bar.stop()  # restores the terminal; a second signal would end the process without this
            say(f"{name}: writing a checkpoint of step {step}; a second signal stops at once")
            self.save({STOPPED_BY: name})
            self.signals.check()

    def save(self, facts: dict[str, Any]) -> None:
        """Writes a checkpoint of the current step, and stores `facts` in its `checkpoint.json`."""
        self.log.flush()
        self.run.checkpoints.save(self.trainer.step, self.trainer.transformer, self.trainer.optimizer, facts)
        self.signals.kept_step = self.trainer.step

    def evaluate(self) -> None:
        """Evaluates the current weights, and removes all checkpoints except the newest and the best ones.

        Also ends the training if this was its last step, or if the last `patience` evaluations brought no improvement.
        """
        with self.signals.at_once():
            self.dev.evaluate(self.trainer)
        best = self.run.ranked_steps()[: self.settings.keep_best]
        self.run.checkpoints.prune(self.settings.keep_checkpoints, best)
        self.trainer.stop_training = is_over(self.run, self.trainer.step)


class ChiefFollower(keras.callbacks.Callback):
    """The callback of the machines other than the chief.

    At each milestone, these machines wait until the chief says whether training continues.
    """

    def __init__(self, trainer: Trainer, signals: StopSignals, *, agree: Agreement) -> None:
        super().__init__()
        self.trainer = trainer
        self.signals = signals
        self.agree = agree

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """At a milestone, waits for the chief's decision."""
        if is_milestone(self.trainer.settings, self.trainer.step):
            self.trainer.stop_training = self.agree(False)
            self.signals.kept_step = self.trainer.step


def is_milestone(settings: TrainingConfig, step: int) -> bool:
    """True if a regular checkpoint is written after `step`."""
    return step % settings.checkpoint_every == 0 or step >= settings.steps


def is_over(run: RunDirectory, step: int) -> bool:
    """True if `step` is the last step, or the training has stopped early."""
    return step >= run.configuration.training.steps or bool(stopped_early(run))


def is_unevaluated(run: RunDirectory, step: int) -> bool:
    """True if `step` has a regular checkpoint that was not evaluated."""
    return step in dict(run.checkpoints.in_turn()) and step not in run.dev_results()


def stopped_early(run: RunDirectory) -> str:
    """Returns a line that says why the training stopped early, or "" if it did not stop early."""
    settings, results, metric = run.configuration.training, run.dev_results(), run.ranking_metric
    since = evaluations_since_best(results, metric)
    if not settings.patience or since < settings.patience:
        return ""
    best = ranked(results, metric)[0]
    label = metric if metric == LOSS else run.task.metric_label
    return (
        f"stopped early at step {max(results)}: {since} checkpoint(s) without an improvement on "
        f"dev {label} {results[best][f'dev_{metric}']:g} at step {best}; raise training.patience, or set it to 0, to "
        "continue"
    )
