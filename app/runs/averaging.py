"""Averages the weights of checkpoints (Vaswani et al. 2017, section 6.1)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from keras_nmt.app.runs.checkpoint_folder import CheckpointFolder
from keras_nmt.app.runs.checkpoints import Arrays, Checkpoint, write_checkpoint


def write_average(folder: CheckpointFolder, paths: Sequence[Path]) -> Path:
    """Averages the checkpoints at `paths`. Writes the average into `folder`, and returns the path of the average.

    Raises:
        DamagedCheckpoint: A checkpoint is damaged.
        OSError: The average cannot be written.
    """
    chosen = [Checkpoint.open(path) for path in paths]
    facts = {"averaged": sorted(checkpoint.step for checkpoint in chosen)}
    made_at = folder.steps()[-1][0]
    return write_checkpoint(folder.average_path(), made_at, {"weights.npz": average(chosen)}, facts)


def average(checkpoints: Sequence[Checkpoint]) -> Arrays:
    """Computes the mean of the checkpoints' weights, in float64; the result is float32."""
    total: Arrays = {}
    for checkpoint in checkpoints:
        for name, array in checkpoint.weights().items():
            total[name] = total.get(name, np.zeros(array.shape, np.float64)) + array
    return {name: (array / len(checkpoints)).astype(np.float32) for name, array in total.items()}
