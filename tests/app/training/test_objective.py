"""The objective's value and gradient, held to the definition written out in float64."""

import numpy as np
import pytest
import tensorflow as tf

from app.training import objective
from app.training.objective import smoothed_cross_entropy

TOKENS, WIDTH, PIECES = 23, 7, 13


def reference(states: np.ndarray, table: np.ndarray, labels: np.ndarray, smoothing: float) -> float:
    """The loss from its definition: cross entropy with a mix of the label and the uniform distribution."""
    logits = states @ table.T
    log_probabilities = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    wanted = np.full_like(logits, smoothing / PIECES)
    wanted[np.arange(len(labels)), labels] += 1 - smoothing
    return float(-(wanted * log_probabilities).sum())


@pytest.fixture
def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(5)
    return random.normal(size=(TOKENS, WIDTH)), random.normal(size=(PIECES, WIDTH)), random.integers(0, PIECES, TOKENS)


def sums(states: np.ndarray, table: np.ndarray, labels: np.ndarray, smoothing: float) -> objective.TokenSums:
    return smoothed_cross_entropy(
        tf.constant(states, tf.float32),
        tf.constant(table, tf.float32),
        tf.constant(labels, tf.int32),
        smoothing=smoothing,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [5, 23, 512])
def test_the_loss_is_that_of_the_definition_whatever_the_chunk(monkeypatch, example, smoothing, chunk):
    monkeypatch.setattr(objective, "CHUNK_TOKENS", chunk)
    found = sums(*example, smoothing)
    np.testing.assert_allclose(found.loss, reference(*example, smoothing), rtol=1e-5)
    np.testing.assert_allclose(found.cross_entropy, reference(*example, 0.0), rtol=1e-5)


def test_correct_counts_the_tokens_put_first(example):
    states, table, labels = example
    labels = labels.copy()
    labels[:4] = (states @ table.T).argmax(-1)[:4]
    assert float(sums(states, table, labels, 0.1).correct) == ((states @ table.T).argmax(-1) == labels).sum()


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_is_that_of_central_differences(monkeypatch, example, smoothing):
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 10)
    states, table, labels = example
    inputs = [tf.constant(states, tf.float32), tf.constant(table, tf.float32)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        loss = 3.0 * smoothed_cross_entropy(*inputs, tf.constant(labels, tf.int32), smoothing=smoothing).loss
    for array, gradient in zip((states, table), tape.gradient(loss, inputs), strict=True):
        for place in [(0, 0), (11, 3), (12, 6)]:
            step = np.zeros_like(array)
            step[place] = 1e-6
            ends = [(states + s, table) if array is states else (states, table + s) for s in (step, -step)]
            expected = 3.0 * (reference(*ends[0], labels, smoothing) - reference(*ends[1], labels, smoothing)) / 2e-6
            np.testing.assert_allclose(gradient.numpy()[place], expected, rtol=1e-3, atol=1e-5)


def test_no_token_gives_no_loss_and_no_gradient():
    states, table = tf.zeros([0, WIDTH]), tf.ones([PIECES, WIDTH])
    with tf.GradientTape() as tape:
        tape.watch(table)
        found = smoothed_cross_entropy(states, table, tf.zeros([0], tf.int32), smoothing=0.1)
    assert [float(value) for value in found] == [0.0, 0.0, 0.0]
    assert not tape.gradient(found.loss, table).numpy().any()


def test_bfloat16_states_give_the_loss_to_their_precision(example):
    states, table, labels = example
    found = smoothed_cross_entropy(
        tf.cast(states, tf.bfloat16), tf.cast(table, tf.bfloat16), tf.constant(labels, tf.int32), smoothing=0.1
    )
    np.testing.assert_allclose(found.loss, reference(states, table, labels, 0.1), rtol=0.02)
    assert found.loss.dtype == tf.float32
