"""The objective's value and gradient, compared with the definition in float64."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.training.objective import objective
from keras_nmt.app.training.objective.objective import evaluated_objective, token_objective

TOKENS, WIDTH, PIECES = 23, 7, 13


def log_softmax(logits: np.ndarray) -> np.ndarray:
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def reference(
    states: np.ndarray, table: np.ndarray, labels: np.ndarray, smoothing: float, r_drop: float = 0.0
) -> float:
    """The loss from its definition: cross entropy with a mix of the label and the uniform distribution.

    States are [N, P, D]; with two passes, Liang et al. 2021, Eq. 4, halved.
    """
    log_probabilities = log_softmax(states @ table.T)
    wanted = np.full((len(labels), PIECES), smoothing / PIECES)
    wanted[np.arange(len(labels)), labels] += 1 - smoothing
    loss = -(wanted[:, None] * log_probabilities).sum() / states.shape[1]
    if states.shape[1] == 2:
        p, q = log_probabilities[:, 0], log_probabilities[:, 1]
        loss += r_drop / 2 * 0.5 * ((np.exp(p) * (p - q)).sum() + (np.exp(q) * (q - p)).sum())
    return float(loss)


@pytest.fixture
def example() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return drawn(passes=1)


def drawn(passes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns states [N, P, D], a table and labels."""
    random = np.random.default_rng(5)
    states = random.normal(size=(TOKENS, passes, WIDTH))
    return states, random.normal(size=(PIECES, WIDTH)), random.integers(1, PIECES, TOKENS)


def sums(states: np.ndarray, table: np.ndarray, labels: np.ndarray, smoothing: float) -> objective.TokenSums:
    return token_objective(
        tf.constant(states, tf.float32),
        tf.constant(table, tf.float32),
        tf.constant(labels, tf.int32),
        smoothing=smoothing,
    )


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("chunk", [5, 23, 512])
def test_the_loss_follows_the_definition_for_any_chunk_size(monkeypatch, example, smoothing, chunk):
    monkeypatch.setattr(objective, "CHUNK_TOKENS", chunk)
    found = sums(*example, smoothing)
    np.testing.assert_allclose(found.loss, reference(*example, smoothing), rtol=1e-5)
    np.testing.assert_allclose(found.cross_entropy, reference(*example, 0.0), rtol=1e-5)


@pytest.mark.parametrize("tokens", [0, 1, 23])
def test_evaluation_computes_the_sums_of_training_without_gradients(monkeypatch, example, tokens):
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 5)
    states, table, labels = (tf.constant(values) for values in example)
    inputs = (tf.cast(states[:tokens], tf.float32), tf.cast(table, tf.float32), tf.cast(labels[:tokens], tf.int32))
    weights = tf.range(1.0, 1.0 + tokens)
    evaluated = tf.function(evaluated_objective)
    found = evaluated(*inputs, weights, smoothing=0.1)
    np.testing.assert_allclose(found, token_objective(*inputs, weights, smoothing=0.1), rtol=1e-6)
    graph = evaluated.get_concrete_function(*inputs, weights, smoothing=0.1).graph.as_graph_def()
    bodies = [node.op for function in graph.library.function for node in function.node_def]
    assert bodies.count("MatMul") == 2  # the logits and their mean; a gradient needs two more


def test_correct_counts_the_tokens_with_the_highest_probability(example):
    states, table, labels = example
    labels = labels.copy()
    labels[:4] = (states @ table.T).argmax(-1)[:4, 0]
    assert float(sums(states, table, labels, 0.1).correct) == ((states[:, 0] @ table.T).argmax(-1) == labels).sum()


@pytest.mark.parametrize(
    ("passes", "smoothing", "r_drop"), [(1, 0.0, 0.0), (1, 0.1, 0.0), (2, 0.1, 0.0), (2, 0.1, 5.0)]
)
def test_the_gradient_equals_central_differences(monkeypatch, passes, smoothing, r_drop):
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 10)
    states, table, labels = drawn(passes)
    inputs = [tf.constant(states, tf.float32), tf.constant(table, tf.float32)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        labels_tensor = tf.constant(labels, tf.int32)
        loss = 3.0 * token_objective(*inputs, labels_tensor, smoothing=smoothing, r_drop=r_drop).loss
    np.testing.assert_allclose(loss, 3.0 * reference(*drawn(passes), smoothing, r_drop), rtol=1e-5)
    for array, gradient in zip((states, table), tape.gradient(loss, inputs), strict=True):
        for row, column in [(0, 0), (11, 3), (12, 6)]:
            place = (row, passes - 1, column) if array is states else (row, column)
            step = np.zeros_like(array)
            step[place] = 1e-6
            ends = [(states + s, table) if array is states else (states, table + s) for s in (step, -step)]
            above, below = (reference(*end, labels, smoothing, r_drop) for end in ends)
            np.testing.assert_allclose(gradient.numpy()[place], 3.0 * (above - below) / 2e-6, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("passes", [1, 2])
def test_padding_has_no_effect(monkeypatch, passes):
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 10)
    states, table, labels = drawn(passes)
    real = np.arange(TOKENS) % 3 > 0

    def loss_and_gradients(states: np.ndarray, labels: np.ndarray) -> tuple[Any, ...]:
        inputs = [tf.constant(states, tf.float32), tf.constant(table, tf.float32)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            sums = token_objective(*inputs, tf.constant(labels, tf.int32), smoothing=0.1, r_drop=2.0)
        return sums, *tape.gradient(sums.loss, inputs)

    some, states_gradient, table_gradient = loss_and_gradients(states, np.where(real, labels, 0))
    alone, states_gradient_alone, table_gradient_alone = loss_and_gradients(states[real], labels[real])
    np.testing.assert_allclose(some, alone, rtol=1e-5)
    np.testing.assert_allclose(states_gradient.numpy()[real], states_gradient_alone, rtol=1e-4, atol=1e-6)
    assert not states_gradient.numpy()[~real].any()
    np.testing.assert_allclose(table_gradient, table_gradient_alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("passes", [1, 2])
def test_a_token_of_weight_2_counts_as_much_as_two_tokens(monkeypatch, passes):
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 10)
    states, table, labels = drawn(passes)
    times = np.arange(TOKENS) % 3  # some not at all

    def loss_and_gradients(rows: np.ndarray, weights: np.ndarray | None) -> tuple[Any, ...]:
        inputs = [tf.constant(states[rows], tf.float32), tf.constant(table, tf.float32)]
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            given = None if weights is None else tf.constant(weights, tf.float32)
            sums = token_objective(*inputs, tf.constant(labels[rows], tf.int32), given, smoothing=0.1, r_drop=2.0)
        return sums, *tape.gradient(sums.loss, inputs)

    weighted, of_states, of_table = loss_and_gradients(np.arange(TOKENS), times)
    repeated, of_repeated, of_table_repeated = loss_and_gradients(np.repeat(np.arange(TOKENS), times), None)
    np.testing.assert_allclose(weighted, repeated, rtol=1e-5)
    np.testing.assert_allclose(of_table, of_table_repeated, rtol=1e-4, atol=1e-5)
    once = np.cumsum(times)[times > 0] - 1  # the last copy of each
    expected = of_repeated.numpy()[once] * times[times > 0, None, None]
    np.testing.assert_allclose(of_states.numpy()[times > 0], expected, rtol=1e-4, atol=1e-6)
    assert not of_states.numpy()[times == 0].any()


def test_no_token_gives_no_loss_and_no_gradient():
    states, table = tf.zeros([0, 1, WIDTH]), tf.ones([PIECES, WIDTH])
    with tf.GradientTape() as tape:
        tape.watch(table)
        found = token_objective(states, table, tf.zeros([0], tf.int32), smoothing=0.1)
    assert [float(value) for value in found] == [0.0, 0.0, 0.0]
    assert not tape.gradient(found.loss, table).numpy().any()


def test_bfloat16_states_give_the_loss_to_bfloat16_precision(example):
    states, table, labels = example
    found = token_objective(
        tf.cast(states, tf.bfloat16), tf.cast(table, tf.bfloat16), tf.constant(labels, tf.int32), smoothing=0.1
    )
    np.testing.assert_allclose(found.loss, reference(states, table, labels, 0.1), rtol=0.02)
    assert found.loss.dtype == tf.float32
