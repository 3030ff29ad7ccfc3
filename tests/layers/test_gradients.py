"""The gradient of the loss against central differences of the NumPy Transformer, in float64."""

from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.layers import Transformer
from keras_nmt.layers.sublayers.normalization import LayerNormalization
from tests.layers.samples import CONFIG, Array, built, numpy, padded_ids, token_ids
from tests.oracles import transformer as oracle

HEADS, WIDTH, VOCABULARY = 3, 6, 11
SMOOTHING = 0.1
STEP = 1e-5

TINY = replace(
    CONFIG,
    vocabulary_size=VOCABULARY,
    model_width=WIDTH,
    inner_width=7,
    heads=HEADS,
    encoder_layers=1,
    decoder_layers=2,
)
SOURCE_IDS, TARGET_IDS = padded_ids(2, 5, VOCABULARY, seed=1), token_ids(2, 3, VOCABULARY, seed=2)
LABELS = padded_ids(2, 3, VOCABULARY, seed=3)


def loss(logits: keras.KerasTensor) -> keras.KerasTensor:
    """Returns the mean label-smoothed cross entropy of the real tokens."""
    wanted = keras.ops.one_hot(LABELS, VOCABULARY)
    smoothed = (1 - SMOOTHING) * wanted + SMOOTHING / VOCABULARY
    losses = keras.ops.categorical_crossentropy(smoothed, logits, from_logits=True)
    real = keras.ops.cast(LABELS != 0, "float32")
    return keras.ops.sum(losses * real) / keras.ops.sum(real)


def oracle_loss(named: oracle.Named) -> float:
    logits = oracle.transformer(SOURCE_IDS, TARGET_IDS, oracle.transformer_weights(named, HEADS))
    return oracle.label_smoothed_cross_entropy(logits, LABELS, SMOOTHING)


def central_difference(named: oracle.Named, path: str, index: tuple[int, ...]) -> float:
    """Returns the derivative of the oracle's loss by one entry of one weight."""

    def moved(distance: float) -> float:
        array = named[path].copy()
        array[index] += distance
        return oracle_loss({**named, path: array})

    return (moved(STEP) - moved(-STEP)) / (2 * STEP)


@pytest.mark.parametrize("normalization", ["post", "pre"])
def test_the_gradient_of_every_weight_equals_central_differences(normalization: str) -> None:
    model = built(Transformer(replace(TINY, normalization=normalization)), WIDTH)
    with tf.GradientTape() as tape:
        value = loss(model({"source": SOURCE_IDS, "target": TARGET_IDS}, training=True))
    gradients = tape.gradient(value, [weight.value for weight in model.weights])
    named = oracle.named_weights(model)
    np.testing.assert_allclose(float(value), oracle_loss(named), rtol=1e-5)

    generator = np.random.default_rng(5)
    expected, actual = [], []
    for path, gradient in zip(named, gradients, strict=True):
        dense: Array = numpy(tf.convert_to_tensor(gradient))
        for _ in range(3):
            index = tuple(int(generator.integers(size)) for size in dense.shape)
            expected.append(central_difference(named, path, index))
            actual.append(float(dense[index]))
    assert np.count_nonzero(expected) > 0.75 * len(expected)  # a rectified unit may be inactive
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("training", "norms"), [(True, 10), (False, 0), (None, 0)])
def test_a_normalisation_uses_its_own_gradient_only_in_training(
    training: bool | None, norms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = built(Transformer(replace(TINY, normalization="pre")), WIDTH)
    original = LayerNormalization._with_gradient
    seen = []

    def count(norm: LayerNormalization, *tensors: keras.KerasTensor) -> keras.KerasTensor:
        seen.append(norm)
        return original(norm, *tensors)

    monkeypatch.setattr(LayerNormalization, "_with_gradient", count)
    model.states({"source": SOURCE_IDS, "target": TARGET_IDS}, training=training)
    assert len(seen) == norms
