"""Reads the checkpoints of a run that may still be training: checkpoints appear and are removed at any time."""

import threading
from collections import OrderedDict
from pathlib import Path

import keras

from keras_nmt.app.inside.errors import MissingCheckpointError
from keras_nmt.app.runs.checkpoints import IMPORTED, Arrays, read_arrays, write_checkpoint
from keras_nmt.app.runs.directory import PROGRAM, RunDirectory, version_of
from keras_nmt.layers import network_of

CACHED_BYTES = 2**29  # all checkpoints of a small model, or the weights of two of a base model
WEIGHTS, STATE = "weights.npz", "state.npz"
DRAWING_PACKAGES = (PROGRAM, "tensorflow", "keras")  # packages on which the initial weights depend


class KeptCheckpoints:
    """The checkpoints that a run has now, with a cache of their arrays. Several threads may use it.

    Args:
        run: The run.
        start: The folder of a checkpoint of step 0 outside of the run, as `write_start` writes it; None for none.
        cached_bytes: The size of the cache. The arrays that were read last are kept, even if they are larger.
    """

    def __init__(self, run: RunDirectory, start: Path | None = None, cached_bytes: int = CACHED_BYTES) -> None:
        self.run = run
        self.start = start
        self.cached_bytes = cached_bytes
        self._cached: OrderedDict[tuple[Path, int], Arrays] = OrderedDict()  # by file and time of its change
        self._lock = threading.Lock()

    def paths(self) -> dict[int, Path]:
        """Returns the folder of each checkpoint by its step, oldest first."""
        start = {0: self.start} if self.start else {}
        return start | dict(self.run.checkpoints.steps())

    def weights(self, step: int) -> Arrays:
        """Returns the weights with which the model of a checkpoint translates, by their path in the model.

        Raises:
            MissingCheckpointError: The run does not have the checkpoint.
            UserError: The file is damaged.
        """
        return self._read(step, WEIGHTS)

    def state(self, step: int) -> Arrays:
        """Returns the training state of a checkpoint, by the names of `training_state`; {} if it has none.

        Raises:
            MissingCheckpointError: The run does not have the checkpoint.
            UserError: The file is damaged.
        """
        if (self._path(step) / STATE).exists():
            return self._read(step, STATE)
        self.weights(step)  # raises if the whole checkpoint has just been removed
        return {}

    def _path(self, step: int) -> Path:
        paths = self.paths()
        if step not in paths:
            there_are = ", ".join(map(str, paths)) or "none yet"
            raise MissingCheckpointError(
                f"{self.run.path.name} has no checkpoint of step {step}; there are: {there_are}"
            )
        return paths[step]

    def _read(self, step: int, name: str) -> Arrays:
        """Returns the arrays of a file. Requests that come meanwhile wait."""
        file = self._path(step) / name
        with self._lock:
            try:
                key = (file, file.stat().st_mtime_ns)
                arrays = self._cached.pop(key, None)
                if arrays is None:
                    arrays = read_arrays(file)
            except FileNotFoundError as error:
                raise MissingCheckpointError(f"the training has just removed the checkpoint of step {step}") from error
            self._cached[key] = arrays
            while len(self._cached) > 1 and sum(map(size_of, self._cached.values())) > self.cached_bytes:
                self._cached.popitem(last=False)
            return arrays


def size_of(arrays: Arrays) -> int:
    """Returns the number of bytes of arrays."""
    return sum(array.nbytes for array in arrays.values())


def write_start(run: RunDirectory, folder: Path) -> Path | None:
    """Writes the weights with which a run began as a checkpoint of step 0, and returns its path.

    Training draws these weights from the seed of the run and does not store them. They are drawn again, in the same
    order. Changes the random state of Python, NumPy and TensorFlow.

    Returns:
        `folder`, or None if the weights cannot be known: they came from another run (`warm_start`), another program
        trained them, or other versions of the packages drew them.
    """
    settings, versions = run.configuration.training, run.manifest["versions"]
    changed = [name for name in DRAWING_PACKAGES if versions.get(name) != version_of(name)]
    if changed or settings.warm_start or IMPORTED in run.manifest or 0 in dict(run.checkpoints.steps()):
        return None
    keras.utils.set_random_seed(settings.seed)
    model = network_of(run.configuration.model, name="transformer", dtype=settings.precision)
    weights = {weight.path: keras.ops.convert_to_numpy(weight) for weight in model.weights}
    return write_checkpoint(folder, 0, {WEIGHTS: weights}, {})
