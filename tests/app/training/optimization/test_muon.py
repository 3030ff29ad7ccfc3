"""Muon compared with singular value decompositions and Keras' Muon, and applied to a Transformer."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.training.memory.estimate import estimate_memory
from keras_nmt.app.training.optimization.adam import BETA_1, BETA_2, EPSILON, FusedAdam
from keras_nmt.app.training.optimization.muon import ROOT_MEAN_SQUARE, Muon, orthogonalized
from keras_nmt.app.training.optimization.optimizer import optimizer_of
from keras_nmt.layers import Transformer, TransformerConfig
from keras_nmt.pipelines.streaming.batching import BatchShape

MODEL = TransformerConfig(
    vocabulary_size=11, model_width=8, inner_width=16, heads=2, encoder_layers=1, decoder_layers=1, logits_bias=True
)
SHAPES = [(8, 8), (8, 20), (20, 8), (8, 8)]


def gradients_of(shapes: list[tuple[int, ...]], seed: int = 1) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [random.normal(size=shape).astype(np.float32) for shape in shapes]


def variables_of(shapes: list[tuple[int, ...]], name: str) -> list[keras.Variable]:
    return [keras.Variable(np.ones(shape, np.float32), name=name) for shape in shapes]


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-4), ("bfloat16", 0.15)])
def test_singular_vectors_stay_and_singular_values_become_equal(dtype: str, tolerance: float) -> None:
    matrices = gradients_of(SHAPES)
    for matrix, found in zip(matrices, orthogonalized([tf.constant(m) for m in matrices], dtype), strict=True):
        u, _, vt = np.linalg.svd(matrix, full_matrices=False)
        level = u.T @ found.numpy() @ vt.T / (ROOT_MEAN_SQUARE * max(matrix.shape) ** 0.5)
        values = np.diag(level)
        assert values.min() > 0.5
        assert values.max() < 1.3
        np.testing.assert_allclose(level - np.diag(values), 0, atol=tolerance)
        assert found.dtype == tf.float32
        assert np.sqrt(np.mean(np.square(found))) == pytest.approx(ROOT_MEAN_SQUARE, rel=0.25)


def test_it_makes_the_updates_of_keras_muon() -> None:
    ours, theirs = variables_of(SHAPES, "kernel"), variables_of(SHAPES, "kernel")
    muon = Muon(0.02, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
    keras_muon = keras.optimizers.Muon(0.02, weight_decay=None, adam_weight_decay=None)
    muon.build(ours)
    for seed in range(3):
        gradients = [tf.constant(gradient) for gradient in gradients_of(SHAPES, seed)]
        muon.apply_summed(gradients, ours)
        keras_muon.apply(gradients, theirs)
    for our, their in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(our.numpy(), their.numpy(), atol=1e-5)


def test_projections_side_by_side_are_updated_as_if_they_were_apart() -> None:
    fused = keras.Variable(np.zeros((8, 24), np.float32), name="kernel")
    fused._path = "transformer/encoder/layer_0/self_attention/query_key_value/kernel"
    alone = variables_of([(8, 8)] * 3, "kernel")
    gradients = gradients_of([(8, 8)] * 3)
    for weights, parts in (([fused], [np.concatenate(gradients, axis=1)]), (alone, gradients)):
        optimizer = Muon(0.02, beta_1=BETA_1, beta_2=BETA_2, epsilon=EPSILON)
        optimizer.build(weights)
        optimizer.apply_summed([tf.constant(part) for part in parts], weights)
    together = np.concatenate([weight.numpy() - 1 for weight in alone], axis=1)
    np.testing.assert_allclose(fused.numpy(), together, atol=1e-6)


def test_embeddings_biases_and_normalization_get_adams_updates_and_matrices_do_not() -> None:
    settings = TrainingConfig(optimizer="muon", schedule="inverse_sqrt", learning_rate=0.01, warmup_steps=1)
    moved = []
    for each in (settings, replace(settings, optimizer="adam")):
        transformer = Transformer(MODEL, name="transformer")
        transformer.build()
        weights = transformer.trainable_variables
        before = [weight.numpy() for weight in weights]
        optimizer = optimizer_of(each, MODEL.model_width)
        optimizer.build(weights)
        gradients = gradients_of([tuple(weight.shape) for weight in weights])
        optimizer.apply_summed([tf.constant(gradient) for gradient in gradients], weights)
        moved.append({w.path: w.numpy() - b for w, b in zip(weights, before, strict=True)})
    muon, adam = moved
    same = {path for path in muon if np.allclose(muon[path], adam[path], atol=1e-6)}
    matrices = {path for path in muon if path.endswith("/kernel")}
    assert same == set(muon) - matrices
    assert len(matrices) == 2 * 2 + 3 + 2 * 2  # self-attention, cross-attention, feed-forward


def test_a_gradient_that_is_not_finite_updates_nothing() -> None:
    (weight,) = variables_of([(4, 4)], "kernel")
    optimizer = Muon(0.02)
    optimizer.build([weight])
    update = optimizer.apply_summed([tf.fill((4, 4), np.nan)], [weight])
    assert not bool(update.applied)
    for variable in (weight, optimizer._momentums[0]):
        assert np.isfinite(variable.numpy()).all()
    np.testing.assert_array_equal(weight.numpy(), 1)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_its_memory_equals_the_estimate(optimizer: str) -> None:
    settings = TrainingConfig(optimizer=optimizer, precision="float32")
    estimate = estimate_memory(
        Configuration(MODEL, settings, DecodingOptions()), BatchShape(8, 4, 4), replicas=1, parts=1
    )
    transformer = Transformer(MODEL)
    transformer.build()
    made = optimizer_of(settings, MODEL.model_width)
    made.build(transformer.trainable_variables)
    moments = [variable for variable in made.variables if variable.shape != ()]
    assert estimate.optimizer == sum(4 * int(np.prod(variable.shape)) for variable in moments)


@pytest.mark.parametrize("kind", [FusedAdam, Muon])
def test_it_is_restored_from_its_configuration(kind: type[FusedAdam]) -> None:
    options = {"product_dtype": "bfloat16"} if kind is Muon else {}
    optimizer = kind(0.5, beta_1=0.8, dynamic_loss_scale=True, **options)
    assert kind.from_config(optimizer.get_config()).get_config() == optimizer.get_config()


def test_products_are_computed_in_the_precision_of_the_training() -> None:
    for precision, products in (("mixed_bfloat16", "bfloat16"), ("float32", "float32"), ("mixed_float16", "float32")):
        optimizer = optimizer_of(TrainingConfig(optimizer="muon", precision=precision), 8)
        assert optimizer.get_config()["product_dtype"] == products
