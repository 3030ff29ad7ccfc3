"""The steps at which a training is kept and judged: a checkpoint, the dev set, what stays, and whether to go on."""

from collections.abc import Callable
from typing import Any

import keras

from app.config import TrainingConfig
from app.runs.checkpoints import STOPPED_BY
from app.runs.directory import RunDirectory
from app.runs.ranking import evaluations_since_best, figure, ranked
from app.runtime.console import say
from app.runtime.signals import StopSignals
from app.training.callbacks.monitoring import DevEvaluation, StepLog
from app.training.trainer import Trainer

Agreement = Callable[[bool], bool]  # all machines call it at once with their own word, and get the chief's


class Milestones(keras.callbacks.Callback):
    """Comes after `StepLog`: milestones are the multiples of `checkpoint_every` and the last step.

    The checkpoint is written first. What comes after it may break off: `catch_up` does it when the training goes on.
    When a signal has come there is a checkpoint out of turn, which makes room for the next.

    Args:
        run: Where checkpoints and results go.
        trainer: What is kept and judged.
        log: Is flushed before a checkpoint.
        dev: What judges.
        signals: What may end the training.
        agree: Tells the other machines whether the training is over; see `Followed`.
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
        """Evaluates the checkpoint that the training goes on from, if that was broken off."""
        if is_unjudged(self.run, self.trainer.step):
            self.judge()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks whether it is time."""
        step = self.trainer.step
        if is_milestone(self.settings, step):
            self.keep({})
            self.judge()
            self.agree(self.trainer.stop_training)
        elif self.signals.received:
            name = self.signals.received.name
            self.log.progress.bar.stop()  # a second signal would leave the terminal as the bar has it
            say(f"{name}: writing a checkpoint of step {step}; a second signal stops at once")
            self.keep({STOPPED_BY: name})
            self.signals.check()

    def keep(self, facts: dict[str, Any]) -> None:
        """Writes a checkpoint."""
        self.log.flush()
        self.run.checkpoints.save(self.trainer.step, self.trainer.transformer, self.trainer.optimizer, facts)
        self.signals.kept_step = self.trainer.step

    def judge(self) -> None:
        """Evaluates the checkpoint, removes others, and ends the training if it does not get better any more."""
        with self.signals.at_once():
            self.dev.evaluate(self.trainer)
        best = self.run.ranked_steps()[: self.settings.keep_best]
        self.run.checkpoints.prune(self.settings.keep_checkpoints, best)
        self.trainer.stop_training = is_over(self.run, self.trainer.step)


class Followed(keras.callbacks.Callback):
    """What the machines do that do not write: at each milestone they wait for the chief's word whether it is over."""

    def __init__(self, trainer: Trainer, signals: StopSignals, *, agree: Agreement) -> None:
        super().__init__()
        self.trainer = trainer
        self.signals = signals
        self.agree = agree

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Looks whether it is time."""
        if is_milestone(self.trainer.settings, self.trainer.step):
            self.trainer.stop_training = self.agree(False)
            self.signals.kept_step = self.trainer.step


def is_milestone(settings: TrainingConfig, step: int) -> bool:
    """Whether there is a checkpoint in turn after `step`."""
    return step % settings.checkpoint_every == 0 or step >= settings.steps


def is_over(run: RunDirectory, step: int) -> bool:
    """Whether there is nothing to learn after `step`."""
    return step >= run.configuration.training.steps or bool(stopped_early(run))


def is_unjudged(run: RunDirectory, step: int) -> bool:
    """Whether the step's checkpoint, written in turn, was not evaluated yet."""
    return step in dict(run.checkpoints.in_turn()) and step not in run.dev_results()


def stopped_early(run: RunDirectory) -> str:
    """Why the training ended before its time, in words; empty if it did not."""
    settings, results = run.configuration.training, run.dev_results()
    since = evaluations_since_best(results, settings.judged_by)
    if not settings.patience or since < settings.patience:
        return ""
    best = ranked(results, settings.judged_by)[0]
    return (
        f"stopped early at step {max(results)}: {figure(results[best], settings.judged_by)} at step {best} was not "
        f"bettered by the {since} checkpoint(s) since; set training.patience higher, or to 0, to go on"
    )
