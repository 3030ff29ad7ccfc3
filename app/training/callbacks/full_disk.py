"""If the disk is full, shows one line that names the last checkpoint instead of a traceback."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.checkpoint_folder import CheckpointFolder

NO_SPACE = "No space left on device"


@contextmanager
def reporting_full_disk(checkpoints: CheckpointFolder) -> Iterator[None]:
    """Replaces Python's or TensorFlow's error of a full disk by a `UserError`.

    Raises:
        UserError: The disk is full; the message names the file that was being written and the last checkpoint.
    """
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(_line(str(error.filename or "the log"), checkpoints)) from error
    except tf.errors.OpError as error:
        if NO_SPACE not in str(error.message):
            raise
        raise UserError(_line("TensorBoard's files", checkpoints)) from error


def _line(what: str, checkpoints: CheckpointFolder) -> str:
    steps = checkpoints.steps()
    left = f"the checkpoint of step {steps[-1][0]} is whole" if steps else "there was no checkpoint yet"
    return f"no space left on the disk while writing {what}; {left}; free space and start the same command again"
