"""Begins a training with the weights of another run; optimizer, learning rate and place in the data begin anew."""

from pathlib import Path

from app.errors import UserError
from app.runs.checkpoints import IMPORTED
from app.runs.choice import choose
from app.runs.directory import RunDirectory
from app.runtime.console import say
from layers import Transformer
from pipelines.shards.manifest import Manifest


def begin_with_weights_of(other: Path, transformer: Transformer, data: Manifest) -> None:
    """Puts what one would translate with of the run `other` into a built model.

    Raises:
        UserError: It is no run or an imported one, or it has no checkpoint, another vocabulary than the data or a model
            of another shape.
    """
    run = RunDirectory.open(other)
    if IMPORTED in run.manifest:
        raise UserError(f"{other} was imported, and its vocabulary cannot prepare data; train from the beginning")
    if run.manifest["vocabulary_digest"] != data.vocabulary_digest:
        raise UserError(
            f"{other} was trained with another vocabulary than that of {data.data_dir}; prepare the data with "
            f"--vocabulary {other / 'vocabulary.model'}"
        )
    checkpoint = choose(run, None)
    checkpoint.load_weights(transformer)
    say(f"beginning with the weights of {checkpoint.path}")
