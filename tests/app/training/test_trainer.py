"""The train step: its figures, and equal results on one and on two devices."""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.training.building import build_trainer
from keras_nmt.app.training.callbacks.monitoring import dev_loss
from keras_nmt.app.training.machines.distribution import divide, mirrored_strategy
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.layers.sublayers.dropout import Dropout, shifted_seeds
from keras_nmt.pipelines.streaming.stream import dataset_of
from tests.app.training.small_trainer import (
    DEEPER,
    MODEL,
    ONE,
    TWO,
    Learned,
    assert_same,
    batches,
    first_weights,
    learn,
    stream,
    trained,
    trainer_of,
    weighted_stream,
)
from tests.eager import eager


@pytest.fixture(scope="module")
def on_one() -> Learned:
    """The result of one device, before other tests train it further."""
    return trained(ONE)


def test_nothing_reads_batches_after_fit_was_interrupted():
    ended = []

    def endless() -> Iterator[Any]:
        try:
            while True:
                yield from batches()
        finally:
            ended.append(ending)

    def end(_: int, logs: Any) -> None:
        trainer.stop_training = True
        if ending:
            raise ending

    data = dataset_of(endless, stream().element_spec).prefetch(4)
    trainer, _ = trainer_of(TWO, "float32", MODEL)
    for ending in (None, KeyboardInterrupt, ValueError):
        with pytest.raises(ending) if ending else nullcontext():
            learn(trainer, data, keras.callbacks.LambdaCallback(on_train_batch_end=end))
        assert ended[-1:] == [ending]


@pytest.mark.slow  # two devices and parts together are held to one in the default suite
@pytest.mark.parametrize("r_drop", [0.0, 3.0])
def test_accumulated_parts_equal_the_whole_batch(r_drop):
    whole = trained(ONE, r_drop=r_drop)
    assert_same(whole, trained(ONE, r_drop=r_drop, accumulation=2))
    assert_same(whole, trained(ONE, r_drop=r_drop, accumulation=3))


@pytest.mark.slow
def test_a_step_compiled_by_xla_equals_one_that_is_not():
    settings = {"model": DEEPER, "r_drop": 3.0, "accumulation": 2}
    assert_same(trained(ONE, **settings), trained(TWO, xla=True, **settings))


def test_parts_with_loss_weights_of_1_on_two_devices_equal_one_device_without_weights(on_one):
    assert_same(on_one, trained(TWO, data=weighted_stream([1] * 7, repeated=False), accumulation=2))


@pytest.mark.slow  # rows that have a weight, and packed ones without, are held to one device in the default suite
def test_accumulated_parts_on_two_devices_equal_one_device(on_one):
    assert_same(on_one, trained(TWO, accumulation=2))


def test_two_devices_equal_one(on_one):
    assert_same(on_one, trained(TWO))


WEIGHTED = ("loss", "cross_entropy", "accuracy", "gradient_norm")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "settings"),
    [
        (TWO, {"accumulation": 2}),
        (ONE, {}),
        (ONE, {"r_drop": 3.0, "accumulation": 3}),
        (TWO, {"r_drop": 3.0}),
    ],
)
def test_a_pair_of_weight_2_counts_as_much_as_two_pairs(devices, settings):
    r_drop = {name: value for name, value in settings.items() if name == "r_drop"}
    repeated = trained(ONE, data=weighted_stream(repeated=True), **r_drop)
    weighted = trained(devices, data=weighted_stream(repeated=False), **settings)
    assert_same(repeated, weighted, figures=WEIGHTED)
    tokens = [(labels != 0).sum() for _, labels in batches()]
    assert [step["target_tokens"] for step in weighted.figures] == tokens  # as many as there are


@pytest.mark.slow
def test_loss_weights_count_in_a_step_compiled_by_xla():
    plain = trained(ONE, data=weighted_stream(repeated=False))
    assert_same(plain, trained(TWO, xla=True, data=weighted_stream(repeated=False), accumulation=2))


def test_loss_weights_count_on_the_dev_set_too(on_one):
    trainer = on_one.trainer
    weighted, repeated = (dev_loss(trainer, weighted_stream(repeated=repeated)) for repeated in (False, True))
    assert weighted == repeated
    assert weighted["dev_loss"] != dev_loss(trainer, stream())["dev_loss"]


def test_the_figures_of_a_step_are_those_of_its_batch(on_one):
    figures = on_one.figures
    for (inputs, labels), step in zip(batches(), figures, strict=True):
        assert step["source_tokens"] == (inputs["source"] != 0).sum()
        assert step["target_tokens"] == (labels != 0).sum()
        real = (inputs["source"] != 0).sum() + (labels != 0).sum()
        assert step["padding_share"] == pytest.approx(1 - real / (inputs["source"].size + labels.size), abs=1e-6)
        assert step["loss"] == pytest.approx(np.log(29), rel=0.5)
        assert step["gradient_norm"] > 0
    assert [step["learning_rate"] for step in figures] == pytest.approx(
        [12**-0.5 * n * 10**-1.5 for n in (1, 2, 3)], rel=1e-5
    )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_mixed_precision_trains_on_two_devices_near_float32(precision, on_one):
    trainer, figures, _ = trained(TWO, precision)
    for ours, theirs in zip(figures, on_one.figures, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.03)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=0.15)
    assert all(weight.dtype == "float32" for weight in trainer.transformer.trainable_variables)
    assert trainer.step == 3


def loss_scale(trainer: Trainer) -> float:
    return float(keras.ops.convert_to_numpy(trainer.optimizer.loss_scale))


@pytest.mark.slow
def test_an_overflow_in_float16_skips_the_step_and_halves_the_scale():
    trainer = trained(ONE, "mixed_float16").trainer
    before = [keras.ops.convert_to_numpy(w).copy() for w in trainer.transformer.trainable_variables]
    assert loss_scale(trainer) < 1e6
    trainer.optimizer.loss_scale.assign(1e30)
    strategy = trainer.distribute_strategy
    trainer.fit(divide(lambda _: stream(), strategy), steps_per_epoch=1, verbose=0, shuffle=False)
    for weight, old in zip(trainer.transformer.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), old)
    assert loss_scale(trainer) == pytest.approx(5e29)
    assert int(keras.ops.convert_to_numpy(trainer.optimizer.iterations)) == 3
    assert trainer.step == 4  # the batch counts: it is the position in the data


@pytest.mark.parametrize("devices", [ONE, pytest.param(TWO, marks=pytest.mark.slow)])
def test_a_gradient_that_is_not_finite_updates_nothing_and_is_counted(devices):
    trainer = trained(devices, ema_decay=0.15).trainer
    tables = trainer.transformer.embedding.embeddings
    kept = keras.ops.convert_to_numpy(tables).copy()
    poisoned = kept.copy()
    poisoned[7, 3] = np.nan
    tables.assign(poisoned)
    before = [
        keras.ops.convert_to_numpy(v).copy() for v in (*trainer.transformer.weights, *trainer.optimizer.variables)
    ]
    (figures,) = learn(trainer, stream(), steps=1)
    assert figures["skipped"] == 1.0
    assert not np.isfinite(figures["gradient_norm"])
    for variable, old in zip((*trainer.transformer.weights, *trainer.optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), old, err_msg=variable.path)
    assert trainer.step == 4
    tables.assign(kept)
    assert learn(trainer, stream(), steps=1)[0]["skipped"] == 0.0


@pytest.mark.parametrize("devices", [ONE, pytest.param(TWO, marks=pytest.mark.slow)])
def test_the_averaged_weights_follow_the_weights_and_replace_them_in_the_context(devices):
    trainer = trained(devices, ema_decay=0.15).trainer
    weight = trainer.transformer.embedding.embeddings
    learning = [keras.ops.convert_to_numpy(weight).copy()]
    average = keras.ops.convert_to_numpy(trainer.optimizer.averages[0]).copy()
    learn(trainer, stream(), steps=1)
    learning.append(keras.ops.convert_to_numpy(weight).copy())
    with trainer.averaged_weights():
        expected = 0.15 * average + 0.85 * learning[1]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, atol=1e-6)
        assert np.abs(expected - learning[1]).max() > 1e-4
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), learning[1])


def test_the_first_averages_forget_the_first_weights():
    with eager():
        trainer, _, learned = trained(ONE, ema_decay=0.9999)
    weight, average = trainer.transformer.embedding.embeddings, trainer.optimizer.averages[0]
    apart = keras.ops.convert_to_numpy(weight) - keras.ops.convert_to_numpy(average)
    moved = learned[weight.path] - first_weights(MODEL)[weight.path]
    assert np.abs(apart).max() < 0.5 * np.abs(moved).max()


def test_r_drop_draws_two_masks_a_token_and_raises_the_loss_by_their_divergence():
    def loss(r_drop: float, dropout: float) -> float:
        keras.utils.set_random_seed(11)
        model = replace(MODEL, residual_dropout=dropout)
        training = TrainingConfig(precision="float32", label_smoothing=0.0, r_drop=r_drop)
        trainer = build_trainer(Configuration(model, training, DecodingOptions()))
        sums = trainer.objective(*next(iter(stream())), trainer.transformer.embedding.embeddings.value)
        return float(sums.loss - sums.cross_entropy)

    assert loss(1.0, dropout=0.0) == pytest.approx(0.0, abs=1e-4)
    assert loss(1.0, dropout=0.4) > 0.1


def test_replicas_drop_different_values():
    strategy = mirrored_strategy()
    with strategy.scope():
        drop = Dropout(0.5)

    @tf.function
    def masks() -> tf.Tensor:
        def mask() -> tf.Tensor:
            with shifted_seeds(tf.distribute.get_replica_context().replica_id_in_sync_group):
                return drop(tf.ones([500]), training=True)

        return strategy.run(mask)

    for _ in range(2):
        first, second = (mask.numpy() for mask in strategy.experimental_local_results(masks()))
        assert 0.3 < (first != second).mean() < 0.7
