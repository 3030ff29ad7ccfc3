"""Each training setting has its effect; here those that the shared run cannot show."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training import building, data_sets
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.resume import with_earlier_accumulation
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.streaming.options import StreamOptions
from keras_nmt.pipelines.streaming.windows import TrainingData
from tests.app.command_line import nmt, train_arguments

Seen = dict[str, Any]


@pytest.fixture
def started(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Returns a function that starts a training up to its first batch.

    It returns the options with which the data was opened, the settings of the trainer, and the first weights.
    """
    number = 0

    def start(*settings: str) -> Seen:
        nonlocal number
        number += 1
        seen: Seen = {}

        def open_data(manifest: Manifest, options: StreamOptions) -> TrainingData:
            seen["options"] = options
            return opened(manifest, options)

        def build(configuration: Configuration) -> Trainer:
            trainer = built(configuration)
            seen["weights"] = [keras.ops.convert_to_numpy(w) for w in trainer.transformer.trainable_variables]
            seen["settings"] = trainer.settings
            return trainer

        def stream(_: TrainingData, start_batch: int) -> None:
            seen["batch"] = start_batch
            raise UserError("enough")

        opened, built = TrainingData.open, building.build_trainer
        with monkeypatch.context() as patched:
            patched.setattr(TrainingData, "open", open_data)
            patched.setattr(building, "build_trainer", build)
            patched.setattr(data_sets, "stream_from", stream)
            done = nmt(*train_arguments(data, tmp_path / f"run{number}", *settings))
        assert done.complaints == ["nmt train: enough"]
        return seen

    return start


def same_weights(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours["weights"], theirs["weights"], strict=True))


def test_the_seed_decides_the_first_weights_and_the_order_of_the_data(started: Any) -> None:
    first, again, other = started("training.seed=3"), started("training.seed=3"), started("training.seed=4")
    assert same_weights(first, again)
    assert not same_weights(first, other)
    assert (first["options"].seed, other["options"].seed) == (3, 4)


def test_settings_of_the_data_reach_the_data(started: Any) -> None:
    settings = ("training.batch_tokens=777", "training.max_length=31", "training.label_smoothing=0.25")
    packing = "training.packing=on"
    seen = started(*settings, "training.sampling_alpha=0.3", "training.sampling_temperature=2.5", packing)
    assert seen["batch"] == 0
    assert replace(seen["options"], seed=0) == StreamOptions(777, 31, 0, 0.3, corpus_temperature=2.5, packed=True)
    assert seen["settings"].label_smoothing == 0.25


def test_a_plan_describes_the_batches_that_are_trained_on(data: Path) -> None:
    settings = TrainingConfig(batch_tokens=777, max_length=31, seed=9)
    sets = DataSets.open(Manifest.load(data), settings)
    batches = sets.stream(0).take(5).as_numpy_iterator()
    shapes = [(*inputs["source"].shape, labels.shape[1]) for inputs, labels in batches]
    assert [tuple(batch.shape) for batch in sets.first_epoch()[:5]] == shapes


@pytest.mark.parametrize(("deterministic", "parts"), [(True, 3), (False, 0)])
def test_a_deterministic_run_resumes_with_the_same_number_of_parts(
    run_copy: Path, deterministic: bool, parts: int
) -> None:
    before = RunDirectory.open(run_copy)
    settings = replace(before.configuration.training, accumulation=3, deterministic=True)
    before.with_configuration(replace(before.configuration, training=settings))
    now = replace(before.configuration, training=replace(settings, accumulation=0, deterministic=deterministic))
    assert with_earlier_accumulation(now, run_copy).training.accumulation == parts
    assert with_earlier_accumulation(now, run_copy / "none").training.accumulation == 0


def test_deterministic_kernels_are_enabled_only_by_the_setting(started: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    started("training.deterministic=false")
    assert asked == []
    started("training.deterministic=true")
    assert asked == [True]
