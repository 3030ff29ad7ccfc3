"""Starts a training from the weights of another run. The optimizer, the learning rate and the data start anew."""

from pathlib import Path

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.checkpoints import IMPORTED
from keras_nmt.app.runs.choice import choose_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say
from keras_nmt.layers import AnyModel
from keras_nmt.pipelines.shards.manifest import Manifest


def warm_start(transformer: AnyModel, other: Path, data: Manifest) -> None:
    """Loads the weights of the run `other` into a built model. Uses the checkpoint with which `other` translates.

    Raises:
        UserError: `other` is not a run, is a run that was imported, has no checkpoint, has another vocabulary than the
            data, or has a model of another shape.
    """
    run = RunDirectory.open(other)
    if IMPORTED in run.manifest:
        raise UserError(f"{other} was imported, and its vocabulary cannot prepare data; train from the beginning")
    if run.manifest["vocabulary_digest"] != data.vocabulary_digest:
        raise UserError(
            f"{other} was trained with another vocabulary than that of {data.data_dir}; prepare the data with "
            f"--vocabulary {other / 'vocabulary.model'}"
        )
    checkpoint = choose_checkpoint(run, None)
    checkpoint.load_weights(transformer)
    say(f"starting from the weights of {checkpoint.path}")
