"""Starts a training from another run's weights, with a new optimizer and learning rate and from the first batch."""

from pathlib import Path

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.checkpoints import IMPORTED
from keras_nmt.app.runs.choice import choose_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say
from keras_nmt.layers import Transformer
from keras_nmt.pipelines.shards.manifest import Manifest


def warm_start(transformer: Transformer, other: Path, data: Manifest) -> None:
    """Loads the weights with which the run `other` translates into a built model.

    Raises:
        UserError: `other` is not a run or was imported; it has no checkpoint; or its vocabulary is not that of the
            data, or its model has another shape.
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
