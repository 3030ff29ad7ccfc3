"""A trainer of a very small model, for tests: its batches, its results, and how to compare them."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.config import Configuration, TrainingConfig
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.training.building import build_trainer
from keras_nmt.app.training.machines.distribution import divide, mirrored_strategy
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.layers import TransformerConfig
from keras_nmt.pipelines.streaming.stream import dataset_of

MODEL = TransformerConfig(
    vocabulary_size=29,
    model_width=12,
    inner_width=20,
    heads=2,
    encoder_layers=1,
    decoder_layers=1,
    residual_dropout=0.0,
)
DEEPER = replace(MODEL, decoder_layers=2)
ONE, TWO = 1, 2


def batches(count: int = 3, rows: int = 7) -> Iterator[tuple[dict[str, np.ndarray], np.ndarray]]:
    """Batches of unequal lengths, so that replicas hold different numbers of real tokens."""
    random = np.random.default_rng(0)
    for _ in range(count):
        source, labels = (random.integers(4, 29, (rows, width)).astype(np.int32) for width in (5, 6))
        for side in (source, labels):
            for row, length in zip(side, random.integers(1, 6, rows), strict=True):
                row[length - 1] = 3
                row[length:] = 0
        target = np.where(labels != 0, np.concatenate([np.full((rows, 1), 2), labels[:, :-1]], axis=1), 0)
        yield {"source": source, "target": target.astype(np.int32)}, labels


def stream() -> tf.data.Dataset:
    ids = tf.TensorSpec([None, None], tf.int32)
    return dataset_of(batches, ({"source": ids, "target": ids}, ids))


WEIGHTS = (1, 2, 0, 2, 1, 1, 2)


def weighted_stream(of_rows: Sequence[int] = WEIGHTS, *, repeated: bool) -> tf.data.Dataset:
    """The batches with loss weights, or with each row repeated as often as its weight says."""
    weights = np.array(of_rows)

    def weighted() -> Iterator[Any]:
        for inputs, labels in batches():
            if repeated:
                yield (
                    {name: np.repeat(ids, weights, axis=0) for name, ids in inputs.items()},
                    np.repeat(labels, weights, 0),
                )
            else:
                yield inputs, labels, weights.astype(np.float32)

    spec = stream().element_spec
    signature = spec if repeated else (*spec, tf.TensorSpec([None], tf.float32))
    return dataset_of(weighted, signature)


def strategy_on(devices: int) -> tf.distribute.Strategy:
    return mirrored_strategy() if devices == TWO else tf.distribute.MirroredStrategy(["CPU:0"])


class Learned(NamedTuple):
    """A trainer, the figures of each of its steps, and the weights of its model after them by path."""

    trainer: Trainer
    figures: list[dict[str, float]]
    weights: dict[str, np.ndarray]


@cache
def trainer_of(
    devices: int, precision: str, model: TransformerConfig, *, xla: bool = False, **settings: Any
) -> tuple[Trainer, list[np.ndarray]]:
    """Returns a trainer and its first variables; the same one for equal arguments, as tracing takes seconds."""
    keras.utils.set_random_seed(11)
    training = TrainingConfig(warmup_steps=10, learning_rate=1.0, precision=precision, **settings)
    with strategy_on(devices).scope():
        trainer = build_trainer(Configuration(model, training, DecodingOptions()))
    trainer.xla = xla
    return trainer, [keras.ops.convert_to_numpy(variable).copy() for variable in variables_of(trainer)]


def variables_of(trainer: Trainer) -> list[keras.Variable]:
    return [*trainer.transformer.variables, *trainer.optimizer.variables]


def trained(
    devices: int,
    precision: str = "float32",
    data: tf.data.Dataset | None = None,
    model: TransformerConfig = MODEL,
    **settings: Any,
) -> Learned:
    """Trains three steps with `fit`; with equal arguments, the same trainer is reset and used again."""
    trainer, first = trainer_of(devices, precision, model, **settings)
    for variable, value in zip(variables_of(trainer), first, strict=True):
        variable.assign(value)
    trainer.step = 0
    figures = learn(trainer, data or stream())
    return Learned(trainer, figures, weights_of(trainer))


def weights_of(trainer: Trainer) -> dict[str, np.ndarray]:
    return {weight.path: keras.ops.convert_to_numpy(weight).copy() for weight in trainer.transformer.weights}


def first_weights(model: TransformerConfig) -> dict[str, np.ndarray]:
    """Returns the weights with which `trained` starts."""
    keras.utils.set_random_seed(11)
    return weights_of(build_trainer(Configuration(model, TrainingConfig(precision="float32"), DecodingOptions())))


def learn(
    trainer: Trainer, batches: tf.data.Dataset, *callbacks: keras.callbacks.Callback, steps: int = 3
) -> list[dict[str, float]]:
    """Trains some steps, and returns the figures of each."""
    seen: list[dict[str, float]] = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda _, logs: seen.append({name: float(value) for name, value in logs.items()})
    )
    divided = divide(lambda _: batches, trainer.distribute_strategy)
    trainer.fit(divided, steps_per_epoch=steps, callbacks=[watch, *callbacks], verbose=0, shuffle=False)
    return seen


ALL = ("loss", "cross_entropy", "accuracy", "gradient_norm", "source_tokens", "target_tokens")


def assert_same(ours: Learned, theirs: Learned, figures: Sequence[str] = ALL) -> None:
    """Asserts equal figures and final weights, up to the rounding of float32 sums in another order."""
    assert_same_figures(ours, theirs, figures)
    assert ours.weights.keys() == theirs.weights.keys()
    for path, weight in ours.weights.items():
        np.testing.assert_allclose(weight, theirs.weights[path], atol=2e-6, err_msg=path)


def assert_same_figures(ours: Learned, theirs: Learned, figures: Sequence[str] = ALL) -> None:
    """Asserts equal figures of each step, up to the rounding of float32 sums in another order."""
    assert len(ours.figures) == len(theirs.figures) == 3
    for mine, other in zip(ours.figures, theirs.figures, strict=True):
        for name in figures:
            assert mine[name] == pytest.approx(other[name], rel=1e-5), name
