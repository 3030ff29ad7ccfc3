"""Learning rates compared with the paper's formula, Adam with its definition."""

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import TrainingConfig
from keras_nmt.app.training.optimization.adam import BETA_1, BETA_2, EPSILON, FusedAdam
from keras_nmt.app.training.optimization.muon import Muon
from keras_nmt.app.training.optimization.optimizer import optimizer_of
from keras_nmt.layers.schedules import CosineSchedule, InverseSquareRootSchedule, NoamSchedule


@pytest.mark.parametrize("update", [0, 1, 41, 42, 43, 1000])
def test_noam_follows_the_papers_formula(update):
    number = update + 1
    expected = 2.0 * 64**-0.5 * min(number**-0.5, number * 42**-1.5)
    assert float(NoamSchedule(64, 42, scale=2.0)(update)) == pytest.approx(expected, rel=1e-6)


def test_the_papers_highest_rate_is_0_0007():
    assert float(NoamSchedule(512, 4000)(3999)) == pytest.approx(0.000699, rel=1e-3)


def test_cosine_rises_to_its_peak_and_falls_to_0():
    schedule = CosineSchedule(3e-3, warmup_steps=10, steps=110)
    assert float(schedule(4)) == pytest.approx(1.5e-3, rel=1e-5)
    assert float(schedule(9)) == pytest.approx(3e-3, rel=1e-5)
    assert float(schedule(59)) == pytest.approx(1.5e-3, rel=1e-4)
    assert float(schedule(109)) == pytest.approx(0.0, abs=1e-8)
    assert float(schedule(500)) == pytest.approx(0.0, abs=1e-8)


def test_the_inverse_square_root_is_noams_curve_with_a_given_peak():
    noam, ours = NoamSchedule(64, 42, scale=2.0), InverseSquareRootSchedule(2.0 * (64 * 42) ** -0.5, 42)
    assert [float(ours(i)) for i in (0, 20, 41, 42, 500)] == pytest.approx(
        [float(noam(i)) for i in (0, 20, 41, 42, 500)]
    )


@pytest.mark.parametrize(
    "schedule", [NoamSchedule(64, 42, 2.0), InverseSquareRootSchedule(1e-3, 5), CosineSchedule(1e-3, 5, 50)]
)
def test_a_schedule_is_restored_from_its_configuration(schedule):
    again = type(schedule).from_config(schedule.get_config())
    assert [float(again(i)) for i in (0, 7, 60)] == [float(schedule(i)) for i in (0, 7, 60)]


def test_fused_adam_makes_adams_updates():
    gradients = np.random.default_rng(3).normal(size=(4, 5)).astype(np.float32)
    weight = keras.Variable(np.ones(5, np.float32))
    optimizer = FusedAdam(0.01, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    optimizer.build([weight])
    expected, m, v = np.ones(5), np.zeros(5), np.zeros(5)
    for t, gradient in enumerate(gradients, start=1):
        optimizer.apply_summed([tf.constant(gradient)], [weight])
        m, v = BETA_1 * m + (1 - BETA_1) * gradient, BETA_2 * v + (1 - BETA_2) * gradient**2
        rate = 0.01 * math.sqrt(1 - BETA_2**t) / (1 - BETA_1**t)
        expected -= rate * m / (np.sqrt(v) + EPSILON)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, rtol=1e-5)
    assert int(optimizer.iterations) == 4


@pytest.mark.parametrize("kind", [FusedAdam, Muon])
def test_weight_decay_shrinks_matrices_by_the_rate_times_the_decay(kind):
    shapes = {"table": (3, 2), "kernel": (2, 2), "bias": (2,)}
    schedule = CosineSchedule(0.01, warmup_steps=1, steps=4)
    weights = {name: keras.Variable(np.full(shape, 2.0, np.float32), name=name) for name, shape in shapes.items()}
    optimizer = kind(schedule, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON, weight_decay=0.5)
    optimizer.build([*weights.values()])
    expected = 2.0
    for step in range(2):
        optimizer.apply_summed([tf.zeros(shape) for shape in shapes.values()], [*weights.values()])
        expected *= 1 - 0.5 * float(schedule(step))
    for name, weight in weights.items():
        np.testing.assert_allclose(weight, 2.0 if name == "bias" else expected, rtol=1e-6)
    assert expected < 1.985
    assert kind.from_config(optimizer.get_config()).weight_decay == 0.5
    name = "muon" if kind is Muon else "adam"
    assert optimizer_of(TrainingConfig(optimizer=name, weight_decay=0.5), 8).weight_decay == 0.5


def test_decayed_updates_are_those_of_kerass_adamw():
    gradients = np.random.default_rng(4).normal(size=(4, 3, 2)).astype(np.float32)
    found = []
    for kind in (FusedAdam, keras.optimizers.AdamW):
        weight = keras.Variable(np.ones((3, 2), np.float32))
        optimizer = kind(0.01, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON, weight_decay=0.3)
        optimizer.build([weight])
        for gradient in gradients:
            apply = optimizer.apply_summed if kind is FusedAdam else optimizer.apply
            apply([tf.constant(gradient)], [weight])
        found.append(keras.ops.convert_to_numpy(weight))
    np.testing.assert_allclose(*found, rtol=1e-5)


def test_only_gradients_longer_than_the_norm_are_clipped():
    gradients = [tf.constant([3.0, 0.0]), tf.constant([4.0])]  # of norm 5
    moments = []
    for clip_norm in (1.0, 10.0):
        weights = [keras.Variable(np.zeros(2, np.float32)), keras.Variable(np.zeros(1, np.float32))]
        optimizer = FusedAdam(0.01, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON, global_clipnorm=clip_norm)
        optimizer.build(weights)
        assert float(optimizer.apply_summed(gradients, weights).gradient_norm) == pytest.approx(5.0)
        moments.append(np.concatenate([keras.ops.convert_to_numpy(m) for m in optimizer._momentums]) / (1 - BETA_1))
    np.testing.assert_allclose(moments[0], [0.6, 0.0, 0.8], rtol=1e-5)
    np.testing.assert_allclose(moments[1], [3.0, 0.0, 4.0], rtol=1e-5)


def test_the_rate_is_the_schedules_rate_times_the_factor():
    weight = keras.Variable(np.zeros(1, np.float32))
    optimizer = FusedAdam(0.01, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    optimizer.build([weight])
    optimizer.rate_factor.assign(0.5)
    optimizer.apply_summed([tf.constant([1.0])], [weight])
    assert keras.ops.convert_to_numpy(weight)[0] == pytest.approx(-0.005, rel=1e-5)
