"""Runs Keras' `fit` with the callbacks of a training. Runs it again after each rollback."""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial

import keras

from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import TrainingProgress
from keras_nmt.app.runtime.signals import StopSignals
from keras_nmt.app.training.building import reset_trainer, share_state
from keras_nmt.app.training.callbacks.divergence import Diverged, DivergenceDetector
from keras_nmt.app.training.callbacks.milestones import ChiefFollower, Milestones, is_over, is_unevaluated
from keras_nmt.app.training.callbacks.monitoring import StepLog
from keras_nmt.app.training.callbacks.profiling import Profile, ProfiledSteps
from keras_nmt.app.training.callbacks.rollback import Rollback, StopOnDivergence, recover
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.dev_sets import dev_evaluation
from keras_nmt.app.training.machines.distribution import chiefs_decision, divide
from keras_nmt.app.training.trainer import Trainer


@dataclass(frozen=True)
class Fit:
    """The callbacks for Keras' `fit`, and the objects that detect and handle a divergence.

    Attributes:
        callbacks: The callbacks in the order in which Keras calls them.
        detector: The detector of a divergence; one of the callbacks passes each step to it.
        rollback: The rollback after a divergence; None on machines that do not write the run.
    """

    callbacks: list[keras.callbacks.Callback]
    detector: DivergenceDetector
    rollback: Rollback | None = None


def fit(
    run: RunDirectory | None,
    trainer: Trainer,
    data: DataSets,
    signals: StopSignals,
    *,
    profile: ProfiledSteps | None,
) -> None:
    """Trains the remaining steps. First evaluates the last checkpoint if its evaluation was interrupted.

    Args:
        run: The run that the chief writes; None on the other machines, which follow the chief.
        trainer: The trainer, at the step from which training continues.
        data: The data to train and evaluate on.
        signals: The stop signals, which the chief holds back after the first step.
        profile: The steps to profile; None to profile no step.
    """
    agree = partial(chiefs_decision, trainer.distribute_strategy)
    progress = TrainingProgress(trainer.settings.steps, trainer.step)
    detector = DivergenceDetector(trainer.settings.spike_factor, trainer.settings.storm_steps)
    parts = Fit([StopOnDivergence(detector), ChiefFollower(trainer, signals, agree=agree)], detector)
    if run and (not is_over(run, trainer.step) or is_unevaluated(run, trainer.step)):
        log = StepLog(run.path, progress)
        dev = dev_evaluation(run, trainer, data, progress)
        milestones = Milestones(run, trainer, log, dev, signals, agree=agree)
        milestones.catch_up()
        # Signals are held back only after the first step: before that step, there is no progress to save.
        hold_back = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: signals.hold_back())
        rollback = Rollback(
            run,
            data.manifest.vocabulary(),
            data.stream,
            lambda: reset_trainer(trainer, run.configuration, data.manifest),
            milestones.save,
        )
        parts = Fit([hold_back, log, StopOnDivergence(detector), milestones], detector, rollback)
    if agree(run is not None and is_over(run, trainer.step)):
        return
    if profile:
        profile.check(trainer.step, trainer.settings.steps)
        if run:
            # The profile comes after the log, because the log waits until the device has finished the step.
            parts.callbacks.insert(2, Profile(run.path / "tensorboard", profile))
    with progress.bar if run else nullcontext():
        _fit_with_rollbacks(trainer, data, parts)


def _fit_with_rollbacks(trainer: Trainer, data: DataSets, parts: Fit) -> None:
    """Trains to the last step in one Keras epoch. After each divergence, continues in a new epoch."""
    steps = trainer.settings.steps
    while trainer.step < steps:
        parts.detector.reset(trainer.step)
        try:
            trainer.fit(
                divide(partial(data.stream, trainer.step), trainer.distribute_strategy),
                steps_per_epoch=steps - trainer.step,
                callbacks=parts.callbacks,
                verbose=0,
                shuffle=False,
            )
            return
        except Diverged as diverged:
            for callback in parts.callbacks:
                callback.on_train_end()  # Keras does not call it when an error ends `fit`
            recover(trainer, diverged, parts.rollback)
        share_state(trainer)
