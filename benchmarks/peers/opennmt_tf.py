"""Measures OpenNMT-tf: `Runner.train` with its automatic configuration and its own data pipeline.

The pipeline reads the sentences on which all programs are measured. OpenNMT-tf's mixed precision is float16 and
requires a GPU. Here the Keras policy is set to bfloat16, which needs no loss scaling, and the two functions that check
for a GPU are replaced.
"""

import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import opennmt
import tensorflow as tf

from benchmarks.measuring import StepClock, read_arguments


class EnoughError(Exception):
    """Raised within a step to end the training, because the runner has no method to stop."""


def use_bfloat16() -> None:
    """Makes OpenNMT-tf compute in bfloat16 with float32 weights.

    Replaces two functions of OpenNMT-tf. The first replacement skips the check for a GPU. The second reports that mixed
    precision is off, so that OpenNMT-tf does not scale the loss.
    """
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    opennmt.utils.misc.enable_mixed_precision = lambda **_: True
    opennmt.utils.misc.mixed_precision_enabled = lambda: False


def watch(clock: StepClock) -> list[Any]:
    """Makes OpenNMT-tf report the end of each training step to `clock`.

    Returns:
        A list that is empty now, and has the model as its only element after the first step.
    """
    models: list[Any] = []

    def update_on_step(statistics: Any, *_: Any) -> None:
        tokens = statistics._get_words_counters()["target"]
        statistics._reset_words_counters()
        models[:] = [statistics._model]
        if clock.step_done(int(tokens)):
            raise EnoughError

    opennmt.training.TrainingStats.update_on_step = update_on_step
    return models


def runner(data: Path, work: Path, tokens: int, *, mixed_precision: bool) -> opennmt.Runner:
    """Returns a runner that trains Transformer base with tied embeddings.

    Args:
        data: The folder with train.source, train.target and words.txt.
        work: A folder for the vocabulary and the model.
        tokens: Batch size in tokens.
        mixed_precision: True if the training uses mixed precision.
    """
    vocabulary = work / "vocabulary.txt"
    vocabulary.write_text("<blank>\n<s>\n</s>\n" + (data / "words.txt").read_text())
    configuration = {
        "model_dir": str(work / "model"),
        "data": {
            "source_vocabulary": str(vocabulary),
            "target_vocabulary": str(vocabulary),
            "train_features_file": str(data / "train.source"),
            "train_labels_file": str(data / "train.target"),
        },
        "train": {
            "batch_size": tokens,
            "batch_type": "tokens",
            "effective_batch_size": None,  # no gradient accumulation
            "max_step": 10**6,
            "save_checkpoints_steps": None,
            "save_summary_steps": 10**6,
            "sample_buffer_size": 40_000,
        },
    }
    model = opennmt.models.TransformerBaseSharedEmbeddings()
    return opennmt.Runner(model, configuration, auto_config=True, mixed_precision=mixed_precision)


def main() -> None:
    """Trains until enough steps are measured, and prints the result."""
    arguments = read_arguments(__doc__)
    tf.get_logger().setLevel("ERROR")
    mixed = arguments.precision == "bfloat16"
    if mixed:
        use_bfloat16()
    clock = StepClock(arguments.seconds)
    models = watch(clock)
    with tempfile.TemporaryDirectory() as work, suppress(EnoughError):
        runner(arguments.data, Path(work), arguments.tokens, mixed_precision=mixed).train()
    versions = {"tensorflow": tf.__version__, "opennmt_tf": opennmt.__version__}
    clock.report(versions, models[0].count_params())


if __name__ == "__main__":
    main()
