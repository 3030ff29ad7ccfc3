"""The loss and the metrics for Keras' `compile`, against their definitions in NumPy."""

import keras
import numpy as np
import pytest

from keras_nmt.layers.losses import ReplicaCrossEntropy
from keras_nmt.layers.metrics import Perplexity, TokenAccuracy
from tests.layers.samples import BATCH, TARGET, VOCABULARY, normal, padded_ids

LABELS = padded_ids(BATCH, TARGET, seed=3)
LOGITS = normal(BATCH, TARGET, VOCABULARY, seed=4)
ROWS = np.array([1.0, 0.0, 2.5], "float32")
TOKENS = np.abs(normal(BATCH, TARGET, seed=5))


def losses(smoothing: float) -> np.ndarray:
    """Returns the cross entropy of a smoothed one-hot distribution, by definition: [B, T]."""
    log_probabilities = LOGITS - np.log(np.exp(LOGITS.astype("float64")).sum(-1, keepdims=True))
    wanted = np.eye(VOCABULARY)[LABELS] * (1 - smoothing) + smoothing / VOCABULARY
    return -(wanted * log_probabilities).sum(-1)


def weights(sample_weight: np.ndarray | None) -> np.ndarray:
    """Returns the weight of each token, [B, T]."""
    real = (LABELS != 0).astype("float64")
    if sample_weight is None:
        return real
    return real * (sample_weight if sample_weight.ndim == 2 else sample_weight[:, None])


@pytest.mark.parametrize("sample_weight", [None, ROWS, TOKENS], ids=["none", "rows", "tokens"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_loss_is_the_weighted_mean_over_real_tokens(smoothing, sample_weight):
    counts = weights(sample_weight)
    expected = (losses(smoothing) * counts).sum() / counts.sum()
    found = ReplicaCrossEntropy(smoothing)(LABELS, LOGITS, sample_weight=sample_weight)
    assert float(found) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("sample_weight", [None, ROWS, TOKENS], ids=["none", "rows", "tokens"])
def test_metrics_are_means_over_all_batches(sample_weight):
    counts = weights(sample_weight)
    perplexity, accuracy = Perplexity(), TokenAccuracy()
    for rows in (slice(0, 1), slice(1, None)):
        part = None if sample_weight is None else sample_weight[rows]
        perplexity.update_state(LABELS[rows], LOGITS[rows], part)
        accuracy.update_state(LABELS[rows], LOGITS[rows], part)
    expected = np.exp((losses(0.0) * counts).sum() / counts.sum())
    assert float(perplexity.result()) == pytest.approx(expected, rel=1e-5)
    is_right = LOGITS.argmax(-1) == LABELS
    assert float(accuracy.result()) == pytest.approx((is_right * counts).sum() / counts.sum(), rel=1e-6)


def test_loss_and_metrics_survive_serialization():
    loss = keras.losses.deserialize(keras.losses.serialize(ReplicaCrossEntropy(0.25)))
    assert isinstance(loss, ReplicaCrossEntropy)
    assert loss.smoothing == 0.25
    for metric in (Perplexity(), TokenAccuracy()):
        again = keras.metrics.deserialize(keras.metrics.serialize(metric))
        assert type(again) is type(metric)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0])
def test_a_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(ValueError, match="at least 0 and less than 1"):
        ReplicaCrossEntropy(smoothing)
