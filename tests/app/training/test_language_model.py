"""The trainer of a language model: it learns, and two devices equal one."""

from collections.abc import Iterator
from dataclasses import replace

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.training.building import build_trainer
from keras_nmt.layers import LanguageModel
from keras_nmt.pipelines.streaming.stream import dataset_of
from tests.app.training.small_trainer import MODEL, ONE, TWO, assert_same, learn, strategy_on, stream, trained

DECODER_ONLY = replace(MODEL, encoder_layers=0)
STEPS = 30


def counting(rows: int = 8, length: int = 6) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Yields batches of texts in which each token is the one before it plus 1, then EOS; the source is only EOS."""
    random = np.random.default_rng(0)
    while True:
        labels = (random.integers(4, 20, (rows, 1)) + np.arange(length)).astype(np.int32)
        labels[:, -1] = 3
        target = np.concatenate([np.full((rows, 1), 2, np.int32), labels[:, :-1]], axis=1)
        yield {"source": np.full((rows, 1), 3, np.int32), "target": target}, labels


def test_a_language_model_learns_to_count() -> None:
    keras.utils.set_random_seed(11)
    training = TrainingConfig(warmup_steps=10, learning_rate=1.0, label_smoothing=0.0, precision="float32")
    with strategy_on(ONE).scope():
        trainer = build_trainer(Configuration(DECODER_ONLY, training, DecodingOptions()))
    assert isinstance(trainer.transformer, LanguageModel)
    ids = tf.TensorSpec([None, None], tf.int32)
    figures = learn(trainer, dataset_of(counting, ({"source": ids, "target": ids}, ids)), steps=STEPS)
    losses = [step["loss"] for step in figures]
    assert len(losses) == STEPS
    assert losses[0] == pytest.approx(np.log(MODEL.vocabulary_size), rel=0.3)
    assert losses[-1] < 0.75 * losses[0]
    assert figures[-1]["accuracy"] > 2 * max(figures[0]["accuracy"], 0.1)


@pytest.mark.slow
def test_two_devices_equal_one() -> None:
    assert_same(trained(ONE, model=DECODER_ONLY), trained(TWO, model=DECODER_ONLY))


@pytest.mark.slow
def test_the_source_has_no_effect_on_a_step() -> None:
    def without_source() -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
        for inputs, labels in stream().as_numpy_iterator():
            yield {"source": np.full_like(inputs["source"], 3), "target": inputs["target"]}, labels

    other = trained(ONE, data=dataset_of(without_source, stream().element_spec), model=DECODER_ONLY)
    figures = ("loss", "cross_entropy", "accuracy", "gradient_norm", "target_tokens")
    assert_same(trained(ONE, model=DECODER_ONLY), other, figures)


@pytest.mark.slow
def test_layers_of_a_language_model_can_be_frozen() -> None:
    weights = trained(ONE, model=DECODER_ONLY, freeze=("decoder/layer_0",)).trainer.transformer
    assert [weight.path for weight in weights.trainable_variables] == ["transformer/embedding/embeddings"]
