"""`nmt train --profile 10,20`: profiles steps 10 to 20 for the Profile tab of TensorBoard."""

from pathlib import Path
from typing import Any, NamedTuple

import keras
import tensorflow as tf

from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.utf8_names import in_utf8


class ProfiledSteps(NamedTuple):
    """The first and the last step to profile, counted from 1."""

    first: int
    last: int

    def check(self, step: int, steps: int) -> None:
        """Checks that the steps from `first` to `last` are among the remaining steps of the training.

        Args:
            step: The number of steps that the training has already run.
            steps: The number of the training's last step.

        Raises:
            UserError: `first` is not after `step`, `last` is after `steps`, or `first` is after `last`.
        """
        if not step < self.first <= self.last <= steps:
            raise UserError(
                f"--profile {self.first},{self.last}: the remaining steps are {step + 1} to {steps}; "
                f"choose from them, as in --profile {step + 1},{min(step + 10, steps)}"
            )


class Profile(keras.callbacks.Callback):
    """Writes a profile of some steps to TensorBoard.

    Must come after `StepLog` in the list of callbacks. `StepLog` waits until the device has finished the step, so the
    profile then includes the whole step.

    Args:
        folder: The folder that TensorBoard reads.
        steps: The steps to profile.
    """

    def __init__(self, folder: Path, steps: ProfiledSteps) -> None:
        super().__init__()
        self.folder = folder
        self.steps = steps
        self.running = False
        self.mark: tf.profiler.experimental.Trace | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Initializes the profiler.

        On a GPU, the initialization takes seconds. Without this call, they would be part of the first profiled step.
        """
        tf.profiler.experimental.start("")
        tf.profiler.experimental.stop(save=False)

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Starts the profile at the first step to profile, and marks the start of each step in the profile."""
        number = self.model.step + 1
        if number == self.steps.first:
            tf.profiler.experimental.start(in_utf8(self.folder))
            self.running = True
        if self.running:
            self.mark = tf.profiler.experimental.Trace("train", step_num=number, _r=1)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Marks the end of a profiled step in the profile. After the last step to profile, writes the profile."""
        if self.mark:
            self.mark.__exit__(None, None, None)
            self.mark = None
        if self.model.step == self.steps.last:
            self._stop()

    def on_train_end(self, logs: Any = None) -> None:
        """Writes the profile if training ends before the last step to profile."""
        self._stop()

    def _stop(self) -> None:
        if self.running:
            tf.profiler.experimental.stop()
            self.running = False
