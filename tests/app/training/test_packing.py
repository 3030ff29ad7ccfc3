"""Training on packed rows equals training on rows of one pair, on any number of devices, in one compiled program."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig, load_configuration
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs import step_lines
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training import building
from keras_nmt.app.training.building import build_trainer
from keras_nmt.app.training.callbacks.divergence import BadStep, Diverged
from keras_nmt.app.training.callbacks.rollback import Rollback
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.memory.accumulation import largest_need
from keras_nmt.app.training.packing import resolve_packing
from keras_nmt.app.training.resume import open_or_create
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.streaming.batching import BatchShape
from keras_nmt.pipelines.streaming.packed_batches import pack_rows
from keras_nmt.pipelines.streaming.packing import pack_batches
from keras_nmt.pipelines.streaming.stream import PACKED_SPEC, dataset_of
from keras_nmt.pipelines.vocabulary.tokenizer import PAD
from tests.app.command_line import nmt, succeeded, train_arguments
from tests.app.training.small_trainer import MODEL, ONE, TWO, assert_same, batches, learn, strategy_on, trained

pytestmark = pytest.mark.usefixtures("traced_once")
SHAPE = BatchShape(rows=4, source_length=12, target_length=14)
WEIGHTS = np.array([1, 2, 0.5, 2, 1, 1, 3], np.float32)


def packed_batches(weights: np.ndarray | None = None) -> Iterator[Any]:
    """The batches of the trainer's tests, with several pairs in a row."""
    for inputs, labels in batches():
        lengths = np.stack([(inputs["source"] != PAD).sum(axis=1), (labels != PAD).sum(axis=1)], axis=1)
        lanes, random = [np.arange(len(labels))], np.random.default_rng(0)
        (plan,) = pack_batches(lengths.astype(np.int32), lanes, SHAPE, max_length=12, random=random)
        assert plan.segments.max() > 1
        chosen = {name: ids[plan.pairs] for name, ids in inputs.items()}, labels[plan.pairs]
        yield pack_rows(plan, chosen, None if weights is None else weights[plan.pairs])


def packed_stream() -> tf.data.Dataset:
    return dataset_of(packed_batches, PACKED_SPEC)


@pytest.mark.parametrize("settings", [{}, {"r_drop": 3.0}])
@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_losses_and_gradients_equal_those_of_unpacked_rows(
    settings: dict[str, float], weights: np.ndarray | None
) -> None:
    keras.utils.set_random_seed(11)
    trainer = build_trainer(Configuration(MODEL, TrainingConfig(precision="float32", **settings), DecodingOptions()))
    apart = next(batches())
    whole = [
        trainer.gradients(batch, 7.0)
        for batch in (apart if weights is None else (*apart, weights), next(packed_batches(weights)))
    ]
    (sums, gradients), (packed_sums, packed_gradients) = whole
    np.testing.assert_allclose(packed_sums, sums, rtol=1e-5)
    for ours, theirs, weight in zip(packed_gradients, gradients, trainer.transformer.trainable_variables, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-5, err_msg=weight.path)


@pytest.mark.slow
def test_packed_rows_in_parts_on_two_devices_train_like_unpacked_rows_on_one() -> None:
    assert_same(trained(ONE), trained(TWO, data=packed_stream(), accumulation=2))


@pytest.mark.slow
def test_an_epoch_has_one_shape_and_is_traced_once(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With XLA, which compiles a trace once for each shape."""
    traced: list[int] = []
    gradients = Trainer.accumulated_gradients

    def counted(self: Trainer, *arguments: Any) -> Any:
        traced.append(1)
        return gradients(self, *arguments)

    monkeypatch.setattr(Trainer, "accumulated_gradients", counted)
    monkeypatch.setattr(building, "Trainer", lambda *given, xla: Trainer(*given, xla=True))
    settings = TrainingConfig(precision="float32", batch_tokens=1024, max_length=64, packing="on")
    manifest = Manifest.load(data)
    with strategy_on(ONE).scope():
        trainer = build_trainer(Configuration(replace(MODEL, vocabulary_size=504), settings, DecodingOptions()))
    packed = DataSets.open(manifest, settings).stream(0)
    assert trainer.xla
    steps = learn(trainer, packed, steps=4)
    assert all(0 < step["loss"] < 10 for step in steps)
    assert len(traced) == 1
    shapes = {tuple(map(np.shape, tf.nest.flatten(batch))) for batch in packed.take(20).as_numpy_iterator()}
    assert len(shapes) == 1


@pytest.mark.parametrize("alpha", [0.0, 0.2])
def test_memory_is_estimated_for_the_only_shape(data: Path, alpha: float) -> None:
    settings = TrainingConfig(precision="float32", batch_tokens=1024, max_length=64, packing="on", sampling_alpha=alpha)
    manifest = Manifest.load(data)
    configuration = Configuration(replace(MODEL, vocabulary_size=504), settings, DecodingOptions())
    inputs, labels = next(DataSets.open(manifest, settings).stream(0).as_numpy_iterator())
    need = largest_need(configuration, manifest, replicas=1, parts=1)
    assert need.shape == (*inputs["source"].shape, labels.shape[1])
    apart = replace(configuration, training=replace(settings, packing="off"))
    of_like_lengths = largest_need(apart, manifest, replicas=1, parts=1)
    assert need.memory.activations > of_like_lengths.memory.activations


@pytest.mark.parametrize(("gpus", "resolved"), [([], "off"), ([SimpleNamespace(name="GPU")], "on")])
def test_auto_packs_on_a_gpu(gpus: list[Any], resolved: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind: gpus)
    assert resolve_packing("auto") == resolved
    assert (resolve_packing("on"), resolve_packing("off")) == ("on", "off")


def test_an_unknown_value_is_refused() -> None:
    with pytest.raises(ValueError, match='packing is "yes"; it is one of auto, on, off'):
        TrainingConfig(packing="yes")  # type: ignore[arg-type]


def test_a_run_stores_what_auto_chose_and_runs_without_the_setting_are_not_packed(run: Path, tmp_path: Path) -> None:
    assert load_configuration(run / "config.toml").training.packing == "off"
    lines = (run / "config.toml").read_text().splitlines(keepends=True)
    (tmp_path / "config.toml").write_text("".join(line for line in lines if not line.startswith("packing")))
    assert load_configuration(tmp_path / "config.toml").training.packing == "off"


def test_a_run_cannot_resume_with_another_packing(data: Path, run: Path) -> None:
    configuration = RunDirectory.open(run).configuration
    now = replace(configuration, training=replace(configuration.training, packing="on"))
    with pytest.raises(UserError, match=r"was started with training.packing = off, not on; resume with --set"):
        open_or_create(run, now, Manifest.load(data), {})


def test_bad_batches_list_the_sentences_of_packed_rows_one_by_one(data: Path, run_copy: Path) -> None:
    run, manifest = RunDirectory.open(run_copy), Manifest.load(data)
    settings = run.configuration.training

    def shown(packing: Any) -> list[str]:
        chosen = replace(settings, packing=packing)
        batches_after = DataSets.open(manifest, chosen).stream
        rollback = Rollback(run, manifest.vocabulary(), batches_after, reset=lambda: None, save=lambda _: None)
        bad = [BadStep(step, 9.0, skipped=True, usual=1.0) for step in range(1, 41)]
        rollback.write_bad_batches(40, Diverged(bad, good_step=0))
        lines = (run_copy / "divergence" / "step-00000040.txt").read_text(encoding="utf-8").splitlines()
        return [line for line in lines if not line.startswith("# step")]

    packed, apart = set(shown("on")), set(shown("off"))
    assert len(packed) > 500
    assert packed == apart


@pytest.mark.slow
def test_a_packed_training_resumes_as_if_it_had_not_stopped(data: Path, tmp_path: Path) -> None:
    def losses(out: str, *steps: int) -> list[float]:
        for last in steps:
            settings = ("training.packing=on", f"training.steps={last}", "training.dev_sentences=0")
            succeeded(nmt(*train_arguments(data, tmp_path / out, *settings)))
        return [line["loss"] for line in step_lines.read(tmp_path / out / "metrics.jsonl")]

    assert losses("in two", 2, 4) == losses("at once", 4)
