"""Each training setting reaches what it is for; those that the road's run cannot show."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from app.config import TrainingConfig
from app.errors import UserError
from app.runs.directory import RunDirectory
from app.training import train as training
from app.training.planning import plan as planning
from app.training.trainer import Trainer
from pipelines.shards.lanes import ONLY_HOST
from pipelines.shards.manifest import Manifest
from tests.app.command_line import nmt, train_arguments

Seen = dict[str, Any]


@pytest.fixture
def begun(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives a function that begins a training and gives what the stream was asked for and the first weights."""
    number = 0

    def begin(*settings: str) -> Seen:
        nonlocal number
        number += 1
        seen: Seen = {}

        def stream(_: Path, **options: Any) -> None:
            seen.update(options)
            if "weights" in seen:  # the first call comes before the model is built, to try the settings
                raise UserError("enough")

        def build(configuration: Any) -> Trainer:
            trainer = built(configuration)
            seen["weights"] = [keras.ops.convert_to_numpy(w) for w in trainer.transformer.trainable_variables]
            seen["settings"] = trainer.settings
            return trainer

        built = training.build_trainer
        with monkeypatch.context() as patched:
            patched.setattr(training, "training_stream", stream)
            patched.setattr(training, "build_trainer", build)
            done = nmt(*train_arguments(data, tmp_path / f"run{number}", *settings))
        assert done.complaints == ["nmt train: enough"]
        return seen

    return begin


def same_weights(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(ours["weights"], theirs["weights"], strict=True))


def test_the_seed_decides_the_first_weights_and_the_order_of_the_data(begun: Any) -> None:
    first, again, other = begun("training.seed=3"), begun("training.seed=3"), begun("training.seed=4")
    assert same_weights(first, again)
    assert not same_weights(first, other)
    assert (first["seed"], other["seed"]) == (3, 4)


def test_batches_and_lengths_are_those_of_the_settings(begun: Any) -> None:
    settings = ("training.batch_tokens=777", "training.max_length=31", "training.label_smoothing=0.25")
    packing = "training.packing=on"
    seen = begun(*settings, "training.sampling_alpha=0.3", "training.sampling_temperature=2.5", packing)
    assert (seen["batch_tokens"], seen["max_length"], seen["start_batch"]) == (777, 31, 0)
    assert seen["sampling_alpha"] == 0.3
    assert seen["corpus_temperature"] == 2.5
    assert seen["packed"]
    assert seen["settings"].label_smoothing == 0.25


def test_a_plan_is_of_the_batches_that_are_trained_on(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Seen] = []
    monkeypatch.setattr(training, "training_stream", lambda _, **options: seen.append(options))
    monkeypatch.setattr(planning, "planned_epoch", lambda _, **options: seen.append(options | {"start_batch": 0}))
    settings = TrainingConfig(
        batch_tokens=777, max_length=31, seed=9, sampling_alpha=0.3, sampling_temperature=2.5, packing="on"
    )
    manifest = Manifest.load(data)
    training.open_stream(manifest, settings, first_step=0)
    assert seen[0].pop("host") == ONLY_HOST  # a plan is of all rows
    planning.first_epoch(manifest, settings)
    assert seen[0] == seen[1]


@pytest.mark.parametrize(("deterministic", "parts"), [(True, 3), (False, 0)])
def test_a_deterministic_run_goes_on_with_as_many_parts_as_before(
    run_copy: Path, deterministic: bool, parts: int
) -> None:
    before = RunDirectory.open(run_copy)
    settings = replace(before.configuration.training, accumulation=3, deterministic=True)
    before.with_configuration(replace(before.configuration, training=settings))
    now = replace(before.configuration, training=replace(settings, accumulation=0, deterministic=deterministic))
    assert training.with_earlier_parts(now, run_copy).training.accumulation == parts
    assert training.with_earlier_parts(now, run_copy / "none").training.accumulation == 0


def test_deterministic_kernels_are_asked_for_where_they_are_set(begun: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bool] = []
    monkeypatch.setattr(tf.config.experimental, "enable_op_determinism", lambda: asked.append(True))
    begun("training.deterministic=false")
    assert asked == []
    begun("training.deterministic=true")
    assert asked == [True]
