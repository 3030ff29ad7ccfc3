"""The figures of one training step, against a loss and an Adam that are written here, and against the training."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import TrainingConfig
from keras_nmt.app.inside.boxes import place_of
from keras_nmt.app.inside.inspected_run import InspectedRun, loaded_without_dropout
from keras_nmt.app.inside.step import Example, StepFigures, take_step
from keras_nmt.app.training.building import trainer_for
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.layers import TransformerConfig, network_of
from tests.app.inside.small_run import SmallRun
from tests.eager import eager

PIECES = 29
EXAMPLE = Example(np.array([11, 12, 13, 3], np.int32), np.array([21, 22, 12, 3], np.int32))
MODEL = {"model_width": 12, "inner_width": 20, "heads": 2, "encoder_layers": 1, "decoder_layers": 2}
BOXES = {
    *("source-embedding", "target-embedding", "linear", "encoder-attention", "encoder-add-1", "encoder-feed-forward"),
    *("encoder-add-2", "decoder-attention", "decoder-add-1", "cross-attention", "decoder-add-2"),
    *("decoder-feed-forward", "decoder-add-3"),
}


@pytest.fixture(autouse=True)
def untraced() -> Iterator[None]:
    with eager():
        yield


def trainer_of(model: dict[str, Any] | None = None, **settings: Any) -> Trainer:
    keras.utils.set_random_seed(3)
    config = TransformerConfig(PIECES, **{**MODEL, "residual_dropout": 0.0, **(model or {})})
    return trainer_for(network_of(config, name="transformer"), TrainingConfig(warmup_steps=10, **settings))


def log_probabilities(trainer: Trainer) -> tf.Tensor:
    """The log-probabilities of all pieces at each label, [T, V]."""
    logits = tf.cast(trainer.transformer(EXAMPLE.inputs(), training=False)[0], tf.float32)
    return logits - tf.math.log(tf.reduce_sum(tf.exp(logits), axis=1, keepdims=True))


def losses_of(found: tf.Tensor, smoothing: float) -> tf.Tensor:
    """The cross entropy of each label, [T], with the smoothed distribution written out."""
    target = np.full((len(EXAMPLE.labels), PIECES), smoothing / PIECES, np.float32)
    target[range(len(EXAMPLE.labels)), EXAMPLE.labels] += 1 - smoothing
    return -tf.reduce_sum(target * found, axis=1)


def gradients_of(trainer: Trainer, smoothing: float) -> dict[str, np.ndarray]:
    """The gradient of the mean loss with respect to each weight, by TensorFlow alone."""
    weights = trainer.transformer.trainable_variables
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(losses_of(log_probabilities(trainer), smoothing))
    found = tape.gradient(loss, [weight.value for weight in weights])
    return {w.path: tf.convert_to_tensor(gradient).numpy() for w, gradient in zip(weights, found, strict=True)}


def norms(figures: StepFigures, field: str) -> dict[str, float]:
    return {f"transformer/{weight.name}": getattr(weight, field) for weight in figures.weights}


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ({}, {"freeze": ("encoder",)}),
        ({"normalization": "pre", "activation": "swish"}, {"label_smoothing": 0.3, "r_drop": 5.0}),
        ({"encoder_layers": 0}, {"label_smoothing": 0.0}),
        ({"copying": True}, {}),
        ({"word_token": 11, "word_tags": 2}, {"precision": "mixed_float16"}),
    ],
)
def test_losses_and_gradients_are_those_of_the_smoothed_cross_entropy(
    model: dict[str, Any], settings: dict[str, Any]
) -> None:
    trainer, smoothing = trainer_of(model, **settings), settings.get("label_smoothing", 0.1)
    found = log_probabilities(trainer).numpy()
    gradients = gradients_of(trainer, smoothing)
    before = {weight.path: weight.numpy().copy() for weight in trainer.transformer.weights}
    figures = take_step(trainer, EXAMPLE)
    np.testing.assert_allclose(figures.losses, losses_of(found, smoothing), rtol=1e-4)
    np.testing.assert_allclose(figures.before, found[range(4), EXAMPLE.labels], rtol=1e-4)
    assert figures.loss == pytest.approx(figures.losses.mean(), rel=1e-4)
    expected = {path: np.linalg.norm(gradient) for path, gradient in gradients.items()}
    every = norms(figures, "gradient")
    assert {path: norm for path, norm in every.items() if norm is not None} == pytest.approx(expected, rel=1e-3)
    assert {path for path, norm in every.items() if norm is None} == before.keys() - expected.keys()
    assert figures.gradient_norm == pytest.approx(np.sqrt(sum(n**2 for n in expected.values())), rel=1e-4)
    after = {weight.path: weight.numpy() for weight in trainer.transformer.weights}
    assert norms(figures, "weight") == pytest.approx({path: np.linalg.norm(w) for path, w in before.items()}, rel=1e-5)
    changes = {path: np.linalg.norm(after[path] - before[path]) for path in before}
    assert norms(figures, "update") == pytest.approx(changes, rel=1e-5)
    assert (min(changes.values()) == 0) == ("freeze" in settings)


@pytest.mark.parametrize("clip_norm", [0.0, 0.5])
def test_probabilities_after_the_update_are_those_after_adam_by_hand(clip_norm: float) -> None:
    trainer, random = trainer_of(clip_norm=clip_norm, learning_rate=0.7), np.random.default_rng(5)
    optimizer, weights = trainer.optimizer, trainer.transformer.trainable_variables
    first = [random.normal(0, 0.01, weight.shape) for weight in weights]
    second = [random.uniform(1e-5, 1e-3, weight.shape) for weight in weights]
    for variables, values in ((optimizer._momentums, first), (optimizer._velocities, second)):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)
    optimizer.iterations.assign(5)
    gradients = gradients_of(trainer, 0.1)
    norm = np.sqrt(sum(np.sum(gradient**2) for gradient in gradients.values()))
    shrink = min(1.0, clip_norm / norm) if clip_norm else 1.0
    assert (shrink < 1) == bool(clip_norm)
    before = [weight.numpy().copy() for weight in weights]
    figures = take_step(trainer, EXAMPLE)
    rate = 0.7 * 12**-0.5 * 6 * 10**-1.5
    assert figures.learning_rate == pytest.approx(rate, rel=1e-5)
    corrected = rate * np.sqrt(1 - 0.98**6) / (1 - 0.9**6)
    for weight, old, m, v in zip(weights, before, first, second, strict=True):
        gradient = shrink * gradients[weight.path]
        new_m, new_v = 0.9 * m + 0.1 * gradient, 0.98 * v + 0.02 * gradient**2
        weight.assign(old - corrected * new_m / (np.sqrt(new_v) + 1e-9))
    expected = log_probabilities(trainer).numpy()[range(4), EXAMPLE.labels]
    np.testing.assert_allclose(figures.after, expected, rtol=1e-4)
    assert not np.allclose(figures.after, figures.before, rtol=1e-3)


def test_a_gradient_that_is_not_finite_changes_nothing() -> None:
    trainer = trainer_of()
    table = trainer.transformer.embedding.embeddings
    table.assign(np.full((PIECES, 12), np.nan))
    figures = take_step(trainer, EXAMPLE)
    assert not figures.applied
    changes = norms(figures, "update")
    assert np.isnan(changes.pop(table.path))  # NaN minus NaN
    assert set(changes.values()) == {0.0}


SETTINGS = [
    {"clip_norm": 0.1, "ema_decay": 0.9, "learning_rate": 0.5, "freeze": ("decoder/layer_1",), "label_smoothing": 0.2},
    {"optimizer": "muon", "schedule": "cosine", "learning_rate": 0.01, "steps": 20},
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_step_from_a_checkpoint_is_the_next_step_of_the_training(settings: dict[str, Any], tmp_path: Path) -> None:
    small = SmallRun(tmp_path / "run", **settings)
    for _ in range(2):
        small.learn()
        small.save()
    inspected = InspectedRun(loaded_without_dropout(small.run.path))
    inspected.take_step(1, "The cat sat.", "Die Katze")  # leaves other weights, moments and iterations in memory
    example, figures = inspected.take_step(2, "A dog barks.", "Ein Hund bellt.")
    before, expected = small.weights(), small.learn(example)
    after = small.weights()
    assert figures.loss == pytest.approx(expected["loss"], rel=1e-5)
    assert figures.gradient_norm == pytest.approx(expected["gradient_norm"], rel=1e-5)
    assert figures.learning_rate == pytest.approx(expected["learning_rate"], rel=1e-6)
    changes = {path: np.linalg.norm(after[path] - before[path]) for path in before}
    assert norms(figures, "update") == pytest.approx(changes, rel=1e-3)


def test_a_step_is_repeatable_and_without_dropout(tmp_path: Path) -> None:
    small = SmallRun(tmp_path / "run", {"residual_dropout": 0.4, "attention_dropout": 0.4, "inner_dropout": 0.4})
    small.learn()
    small.save()
    without = SmallRun(tmp_path / "without")
    for ours, theirs in zip(without.trainer.transformer.weights, small.trainer.transformer.weights, strict=True):
        ours.assign(theirs)
    inspected = InspectedRun(loaded_without_dropout(small.run.path))
    example, figures = inspected.take_step(1, "A dog barks.", "Ein Hund bellt.")
    again, repeated = inspected.take_step(1, "A dog barks.", "Ein Hund bellt.")
    assert figures.loss == repeated.loss
    assert figures.after.tolist() == repeated.after.tolist()
    assert again.labels.tolist() == example.labels.tolist()
    assert without.learn(example)["loss"] == pytest.approx(figures.loss, rel=1e-5)


def test_a_checkpoint_without_a_state_starts_with_an_empty_optimizer(tmp_path: Path) -> None:
    small = SmallRun(tmp_path / "run", optimizer="muon")
    small.save()
    inspected = InspectedRun(loaded_without_dropout(small.run.path))
    (small.run.checkpoints.step_path(0) / "state.npz").unlink()
    inspected.take_step(0, "The cat sat.", "Die Katze")  # leaves moments in memory
    example, figures = inspected.take_step(0, "A dog barks.", "Ein Hund bellt.")
    before, expected = small.weights(), small.learn(example)
    assert figures.learning_rate == pytest.approx(expected["learning_rate"], rel=1e-6)
    changes = {path: np.linalg.norm(weight - before[path]) for path, weight in small.weights().items()}
    assert norms(figures, "update") == pytest.approx(changes, rel=1e-3)


@pytest.mark.parametrize(
    ("model", "missing", "more"),
    [
        ({}, set(), set()),
        ({"normalization": "pre", "logits_bias": True, "attention_bias": True}, set(), set()),
        ({"copying": True}, set(), {"softmax"}),
        ({"word_token": 5}, set(), set()),
        (
            {"encoder_layers": 0, "normalization": "pre"},
            {box for box in BOXES if "encoder" in box} | {"source-embedding", "cross-attention", "decoder-add-2"},
            set(),
        ),
    ],
)
def test_every_weight_has_a_place_in_the_picture(model: dict[str, Any], missing: set[str], more: set[str]) -> None:
    config = TransformerConfig(PIECES, **{**MODEL, **model})
    network = network_of(config, name="transformer")
    has_source = config.encoder_layers > 0
    places = {weight.path: place_of(weight.path, has_source=has_source) for weight in network.weights}
    assert {box for place in places.values() for box in place.boxes} == (BOXES - missing) | more
    shared = places["transformer/embedding/embeddings"]
    assert shared.boxes == ("source-embedding", "target-embedding", "linear")[not has_source :]
    for path, place in places.items():
        assert place.layer == (int(path.split("layer_")[1][0]) if "layer_" in path else None)
