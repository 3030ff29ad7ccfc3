"""Measures the training of this program: the preset paper-base is trained as in `nmt train`, without evaluations."""

import argparse
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.data.training_corpus import MAX_LENGTH, SEED
from benchmarks.measuring import StepClock, read_arguments
from keras_nmt.app.runtime.tensorflow_start import import_tensorflow


def main() -> None:
    """Trains until enough steps are measured, and prints the result."""
    arguments = read_arguments(__doc__)
    import_tensorflow()
    import keras
    import tensorflow as tf

    from keras_nmt.app.config import load_preset

    clock, parameters = measure(arguments, load_preset("paper-base"))
    clock.report({"tensorflow": tf.__version__, "keras": keras.__version__}, parameters)


def measure(arguments: argparse.Namespace, preset: Mapping[str, Mapping[str, Any]]) -> tuple[StepClock, int]:
    """Trains until enough steps are measured. Returns the clock, and the number of parameters of the model.

    Args:
        arguments: The options of `read_arguments`. Their batch size and precision replace the values of the preset.
        preset: The settings of the model and the training, by section.
    """
    import keras

    from keras_nmt.app.runtime.console import TrainingProgress
    from keras_nmt.app.training.building import build_on_devices
    from keras_nmt.app.training.callbacks.monitoring import StepLog
    from keras_nmt.app.training.data_sets import DataSets
    from keras_nmt.app.training.machines.distribution import divide, mirrored_strategy
    from keras_nmt.app.training.memory.accumulation import with_accumulation
    from keras_nmt.app.training.resolving import resolve
    from keras_nmt.pipelines.shards.manifest import Manifest

    settings = {
        **preset["training"],
        "batch_tokens": arguments.tokens,
        "max_length": MAX_LENGTH,
        "seed": SEED,
        "precision": {"bfloat16": "mixed_bfloat16", "float32": "float32"}[arguments.precision],
    }
    data = Manifest.load(arguments.data)
    strategy = mirrored_strategy()
    configuration = resolve({**preset, "training": settings}, "benchmark", data)
    configuration = with_accumulation(configuration, data, strategy.num_replicas_in_sync)
    trainer = build_on_devices(strategy, configuration)
    clock = StepClock(arguments.seconds)

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
            self.model.stop_training = clock.step_done(int((logs or {})["target_tokens"]))

    stream = divide(partial(DataSets.open(data, configuration.training).stream, 0), strategy)
    progress = TrainingProgress(configuration.training.steps, first_step=0)
    with tempfile.TemporaryDirectory() as run, progress.bar:
        trainer.fit(
            stream,
            steps_per_epoch=configuration.training.steps,
            callbacks=[StepLog(Path(run), progress), Watch()],
            verbose=0,
            shuffle=False,
        )
    return clock, trainer.transformer.count_params()


if __name__ == "__main__":
    main()
