"""Training a model that copies: the objective against the definition of the mixture in float64, and the train step."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.training.objective import objective
from keras_nmt.app.training.objective.copying import TokenCopies
from keras_nmt.app.training.objective.objective import evaluated_objective, token_objective
from keras_nmt.layers.losses import token_losses
from tests.app.training.small_trainer import MODEL, ONE, TWO, assert_same, batches, trained, trainer_of

TOKENS, WIDTH, PIECES, SOURCE = 23, 7, 13, 5
FLOATS = ("states", "table", "log_gate", "log_copied")


def drawn(passes: int) -> dict[str, Any]:
    """Returns float64 arrays. Source tokens may be repeated; only the first of them can be copied."""
    random = np.random.default_rng(5)
    source = random.integers(1, PIECES, (TOKENS, SOURCE))
    is_repeated = np.array([[token in row[:place] for place, token in enumerate(row)] for row in source])
    gate = random.uniform(0.1, 0.9, (TOKENS, passes))
    copied = random.uniform(0.05, 0.3, (TOKENS, passes, SOURCE)) * (1 - gate[:, :, None])
    labels = random.integers(1, PIECES, TOKENS)
    labels[::2] = source[::2, 3]  # half of the labels can be copied
    return {
        "states": random.normal(size=(TOKENS, passes, WIDTH)),
        "table": random.normal(size=(PIECES, WIDTH)),
        "labels": labels,
        "log_gate": np.log(gate),
        "log_copied": np.where(is_repeated[:, None], -1e9, np.log(copied)),
        "source": source,
    }


def log_mixture(given: dict[str, Any]) -> np.ndarray:
    """Returns the log-probabilities [N, P, V], with one sum for each token that can be copied."""
    logits = given["states"] @ given["table"].T
    generated = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    mixture = np.exp(given["log_gate"])[:, :, None] * generated
    for token, row in enumerate(given["source"]):
        for place, piece in enumerate(row):
            mixture[token, :, piece] += np.exp(given["log_copied"][token, :, place])
    return np.log(mixture)


def reference(given: dict[str, Any], smoothing: float) -> float:
    """The label-smoothed loss from its definition, the mean of the passes."""
    labels = given["labels"]
    wanted = np.full((len(labels), PIECES), smoothing / PIECES)
    wanted[np.arange(len(labels)), labels] += 1 - smoothing
    return float(-(wanted[:, None] * log_mixture(given)).sum() / given["states"].shape[1])


def tensors(given: dict[str, Any]) -> dict[str, tf.Tensor]:
    return {name: tf.constant(value, tf.float32 if name in FLOATS else tf.int32) for name, value in given.items()}


def sums(of: dict[str, tf.Tensor], compute: Any = token_objective, **options: float) -> objective.TokenSums:
    copies = TokenCopies(of["log_gate"], of["log_copied"], of["source"])
    found: objective.TokenSums = compute(of["states"], of["table"], of["labels"], None, copies, **options)
    return found


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("passes", [1, 2])
def test_the_sums_are_those_of_the_mixture(monkeypatch: pytest.MonkeyPatch, passes: int, smoothing: float) -> None:
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 10)
    given = drawn(passes)
    found = sums(tensors(given), smoothing=smoothing)
    np.testing.assert_allclose(found.loss, reference(given, smoothing), rtol=1e-5)
    np.testing.assert_allclose(found.cross_entropy, reference(given, 0.0), rtol=1e-5)
    is_correct = log_mixture(given).argmax(-1) == given["labels"][:, None]
    is_correct_without_copies = (given["states"] @ given["table"].T).argmax(-1) == given["labels"][:, None]
    assert is_correct.sum() > is_correct_without_copies.sum() > 0
    np.testing.assert_allclose(found.correct, is_correct.sum() / passes)


def test_evaluation_computes_the_sums_of_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 10)
    given = tensors(drawn(1))
    np.testing.assert_allclose(sums(given, evaluated_objective, smoothing=0.1), sums(given, smoothing=0.1), rtol=1e-6)


@pytest.mark.parametrize(("passes", "smoothing"), [(1, 0.0), (1, 0.1), (2, 0.1)])
def test_every_gradient_equals_central_differences(
    monkeypatch: pytest.MonkeyPatch, passes: int, smoothing: float
) -> None:
    monkeypatch.setattr(objective, "CHUNK_TOKENS", 10)
    given = drawn(passes)
    inputs = tensors(given)
    watched = [inputs[name] for name in FLOATS]
    with tf.GradientTape() as tape:
        tape.watch(watched)
        loss = 3.0 * sums(inputs, smoothing=smoothing).loss
    for name, gradient in zip(FLOATS, tape.gradient(loss, watched), strict=True):
        assert gradient.shape == given[name].shape
        for place in zip(*(np.random.default_rng(2).integers(0, size, 6) for size in gradient.shape), strict=True):
            step = np.zeros_like(given[name])
            step[place] = 1e-6
            above, below = (reference({**given, name: given[name] + way * step}, smoothing) for way in (1, -1))
            np.testing.assert_allclose(gradient.numpy()[place], 3.0 * (above - below) / 2e-6, rtol=1e-3, atol=2e-5)


COPYING = replace(MODEL, copying=True)


def test_the_loss_of_a_step_is_that_of_the_models_log_probabilities() -> None:
    trainer, _ = trainer_of(ONE, "float32", COPYING)
    inputs, labels = next(batches())
    projection = tf.stop_gradient(trainer.transformer.embedding.embeddings.value)
    found = trainer.objective(inputs, tf.constant(labels), projection)
    losses = token_losses(labels, trainer.transformer(inputs), trainer.settings.label_smoothing)
    np.testing.assert_allclose(found.loss, np.sum(losses, where=labels != 0), rtol=1e-5)


@pytest.mark.slow
def test_parts_on_two_devices_equal_one_device() -> None:
    assert_same(trained(ONE, model=COPYING), trained(TWO, model=COPYING, accumulation=2))


@pytest.mark.slow
def test_a_step_compiled_by_xla_equals_one_that_is_not() -> None:
    settings = {"model": COPYING, "r_drop": 3.0}
    assert_same(trained(ONE, **settings), trained(ONE, xla=True, **settings))
