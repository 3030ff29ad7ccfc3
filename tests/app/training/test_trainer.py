"""The train step: its figures, and equal results on one and on two devices."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from app.config import Configuration, TrainingConfig
from app.decoding.options import DecodingOptions
from app.errors import UserError
from app.training.building import build_trainer
from app.training.callbacks.monitoring import dev_loss
from app.training.machines.distribution import divide, mirrored_strategy
from app.training.trainer import Trainer
from layers import TransformerConfig
from layers.sublayers.dropout import Dropout, shifted_seeds
from pipelines.shards.lanes import Host
from pipelines.streaming.stream import dataset_of
from tests.eager import eager

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


@pytest.fixture(scope="module")
def on_one() -> Learned:
    """The result of one device, before other tests train it further."""
    return trained(ONE)


ALL = ("loss", "cross_entropy", "accuracy", "gradient_norm", "source_tokens", "target_tokens")


def assert_same(ours: Learned, theirs: Learned, figures: Sequence[str] = ALL) -> None:
    """Asserts equal figures and final weights, up to the rounding of float32 sums in another order."""
    assert len(ours.figures) == len(theirs.figures) == 3
    for mine, other in zip(ours.figures, theirs.figures, strict=True):
        for name in figures:
            assert mine[name] == pytest.approx(other[name], rel=1e-5), name
    assert ours.weights.keys() == theirs.weights.keys()
    for path, weight in ours.weights.items():
        np.testing.assert_allclose(weight, theirs.weights[path], atol=2e-6, err_msg=path)


def test_nothing_reads_batches_after_fit_was_interrupted():
    ended = []

    def endless() -> Iterator[Any]:
        try:
            while True:
                yield from batches()
        finally:
            ended.append(ending)

    def end(_: int, logs: Any) -> None:
        trainer.stop_training = True
        if ending:
            raise ending

    data = dataset_of(endless, stream().element_spec).prefetch(4)
    trainer, _ = trainer_of(TWO, "float32", MODEL)
    for ending in (None, KeyboardInterrupt, ValueError):
        with pytest.raises(ending) if ending else nullcontext():
            learn(trainer, data, keras.callbacks.LambdaCallback(on_train_batch_end=end))
        assert ended[-1:] == [ending]


@pytest.mark.slow  # two devices and parts together are held to one in the default suite
@pytest.mark.parametrize("r_drop", [0.0, 3.0])
def test_accumulated_parts_equal_the_whole_batch(r_drop):
    whole = trained(ONE, r_drop=r_drop)
    assert_same(whole, trained(ONE, r_drop=r_drop, accumulation=2))
    assert_same(whole, trained(ONE, r_drop=r_drop, accumulation=3))


@pytest.mark.slow
def test_a_step_compiled_by_xla_equals_one_that_is_not():
    settings = {"model": DEEPER, "r_drop": 3.0, "accumulation": 2}
    assert_same(trained(ONE, **settings), trained(TWO, xla=True, **settings))


def test_parts_with_loss_weights_of_1_on_two_devices_equal_one_device_without_weights(on_one):
    assert_same(on_one, trained(TWO, data=weighted_stream([1] * 7, repeated=False), accumulation=2))


@pytest.mark.slow  # rows that have a weight, and packed ones without, are held to one device in the default suite
def test_accumulated_parts_on_two_devices_equal_one_device(on_one):
    assert_same(on_one, trained(TWO, accumulation=2))


def test_two_devices_equal_one(on_one):
    assert_same(on_one, trained(TWO))


WEIGHTED = ("loss", "cross_entropy", "accuracy", "gradient_norm")


@pytest.mark.parametrize(
    ("devices", "settings"),
    [
        (TWO, {"accumulation": 2}),
        pytest.param(ONE, {}, marks=pytest.mark.slow),
        pytest.param(ONE, {"r_drop": 3.0, "accumulation": 3}, marks=pytest.mark.slow),
        pytest.param(TWO, {"r_drop": 3.0}, marks=pytest.mark.slow),
    ],
)
def test_a_pair_of_weight_2_counts_as_much_as_two_pairs(devices, settings):
    r_drop = {name: value for name, value in settings.items() if name == "r_drop"}
    repeated = trained(ONE, data=weighted_stream(repeated=True), **r_drop)
    weighted = trained(devices, data=weighted_stream(repeated=False), **settings)
    assert_same(repeated, weighted, figures=WEIGHTED)
    tokens = [(labels != 0).sum() for _, labels in batches()]
    assert [step["target_tokens"] for step in weighted.figures] == tokens  # as many as there are


@pytest.mark.slow
def test_loss_weights_count_in_a_step_compiled_by_xla():
    plain = trained(ONE, data=weighted_stream(repeated=False))
    assert_same(plain, trained(TWO, xla=True, data=weighted_stream(repeated=False), accumulation=2))


def test_loss_weights_count_on_the_dev_set_too(on_one):
    trainer = on_one.trainer
    weighted, repeated = (dev_loss(trainer, weighted_stream(repeated=repeated)) for repeated in (False, True))
    assert weighted == repeated
    assert weighted["dev_loss"] != dev_loss(trainer, stream())["dev_loss"]


def test_the_figures_of_a_step_are_those_of_its_batch(on_one):
    figures = on_one.figures
    for (inputs, labels), step in zip(batches(), figures, strict=True):
        assert step["source_tokens"] == (inputs["source"] != 0).sum()
        assert step["target_tokens"] == (labels != 0).sum()
        real = (inputs["source"] != 0).sum() + (labels != 0).sum()
        assert step["padding_share"] == pytest.approx(1 - real / (inputs["source"].size + labels.size), abs=1e-6)
        assert step["loss"] == pytest.approx(np.log(29), rel=0.5)
        assert step["gradient_norm"] > 0
    assert [step["learning_rate"] for step in figures] == pytest.approx(
        [12**-0.5 * n * 10**-1.5 for n in (1, 2, 3)], rel=1e-5
    )


@pytest.mark.parametrize("precision", ["mixed_bfloat16", pytest.param("mixed_float16", marks=pytest.mark.slow)])
def test_mixed_precision_trains_on_two_devices_near_float32(precision, on_one):
    trainer, figures, _ = trained(TWO, precision)
    for ours, theirs in zip(figures, on_one.figures, strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], rel=0.03)
        assert ours["gradient_norm"] == pytest.approx(theirs["gradient_norm"], rel=0.15)
    assert all(weight.dtype == "float32" for weight in trainer.transformer.trainable_variables)
    assert trainer.step == 3


def loss_scale(trainer: Trainer) -> float:
    return float(keras.ops.convert_to_numpy(trainer.optimizer.loss_scale))


def test_an_overflow_in_float16_skips_the_step_and_halves_the_scale():
    trainer = trained(ONE, "mixed_float16").trainer
    before = [keras.ops.convert_to_numpy(w).copy() for w in trainer.transformer.trainable_variables]
    assert loss_scale(trainer) < 1e6
    trainer.optimizer.loss_scale.assign(1e30)
    strategy = trainer.distribute_strategy
    trainer.fit(divide(lambda _: stream(), strategy), steps_per_epoch=1, verbose=0, shuffle=False)
    for weight, old in zip(trainer.transformer.trainable_variables, before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), old)
    assert loss_scale(trainer) == pytest.approx(5e29)
    assert int(keras.ops.convert_to_numpy(trainer.optimizer.iterations)) == 3
    assert trainer.step == 4  # the batch counts: it is the position in the data


@pytest.mark.parametrize("devices", [ONE, pytest.param(TWO, marks=pytest.mark.slow)])
def test_a_gradient_that_is_not_finite_updates_nothing_and_is_counted(devices):
    trainer = trained(devices, ema_decay=0.15).trainer
    tables = trainer.transformer.embedding.embeddings
    kept = keras.ops.convert_to_numpy(tables).copy()
    poisoned = kept.copy()
    poisoned[7, 3] = np.nan
    tables.assign(poisoned)
    before = [
        keras.ops.convert_to_numpy(v).copy() for v in (*trainer.transformer.weights, *trainer.optimizer.variables)
    ]
    (figures,) = learn(trainer, stream(), steps=1)
    assert figures["skipped"] == 1.0
    assert not np.isfinite(figures["gradient_norm"])
    for variable, old in zip((*trainer.transformer.weights, *trainer.optimizer.variables), before, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(variable), old, err_msg=variable.path)
    assert trainer.step == 4
    tables.assign(kept)
    assert learn(trainer, stream(), steps=1)[0]["skipped"] == 0.0


@pytest.mark.parametrize("devices", [ONE, pytest.param(TWO, marks=pytest.mark.slow)])
def test_the_averaged_weights_follow_the_weights_and_replace_them_in_the_context(devices):
    trainer = trained(devices, ema_decay=0.15).trainer
    weight = trainer.transformer.embedding.embeddings
    learning = [keras.ops.convert_to_numpy(weight).copy()]
    average = keras.ops.convert_to_numpy(trainer.optimizer.averages[0]).copy()
    learn(trainer, stream(), steps=1)
    learning.append(keras.ops.convert_to_numpy(weight).copy())
    with trainer.averaged_weights():
        expected = 0.15 * average + 0.85 * learning[1]
        np.testing.assert_allclose(keras.ops.convert_to_numpy(weight), expected, atol=1e-6)
        assert np.abs(expected - learning[1]).max() > 1e-4
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), learning[1])


def test_the_first_averages_forget_the_first_weights():
    with eager():
        trainer, _, learned = trained(ONE, ema_decay=0.9999)
    weight, average = trainer.transformer.embedding.embeddings, trainer.optimizer.averages[0]
    apart = keras.ops.convert_to_numpy(weight) - keras.ops.convert_to_numpy(average)
    moved = learned[weight.path] - first_weights(MODEL)[weight.path]
    assert np.abs(apart).max() < 0.5 * np.abs(moved).max()


def first_weights(model: TransformerConfig) -> dict[str, np.ndarray]:
    """Returns the weights with which `trained` starts."""
    keras.utils.set_random_seed(11)
    return weights_of(build_trainer(Configuration(model, TrainingConfig(precision="float32"), DecodingOptions())))


def test_frozen_layers_do_not_change_and_others_do():
    first = first_weights(DEEPER)
    with eager():
        learned = trained(ONE, model=DEEPER, freeze=("encoder", "decoder/layer_1")).weights
    for path, weight in learned.items():
        same = np.array_equal(weight, first[path])
        assert same == ("encoder/" in path or "decoder/layer_1/" in path), path


def test_an_unknown_layer_cannot_be_frozen():
    with pytest.raises(UserError, match="there is no layer enkoder; name one of decoder, embedding, encoder or a part"):
        trained(ONE, freeze=("enkoder",))
    with pytest.raises(UserError, match="leaves no weight to learn"):
        trained(ONE, freeze=("transformer",))


def test_r_drop_draws_two_masks_a_token_and_raises_the_loss_by_their_divergence():
    def loss(r_drop: float, dropout: float) -> float:
        keras.utils.set_random_seed(11)
        model = replace(MODEL, residual_dropout=dropout)
        training = TrainingConfig(precision="float32", label_smoothing=0.0, r_drop=r_drop)
        trainer = build_trainer(Configuration(model, training, DecodingOptions()))
        sums = trainer.objective(*next(iter(stream())), trainer.transformer.embedding.embeddings.value)
        return float(sums.loss - sums.cross_entropy)

    assert loss(1.0, dropout=0.0) == pytest.approx(0.0, abs=1e-4)
    assert loss(1.0, dropout=0.4) > 0.1


def test_replicas_drop_different_values():
    strategy = mirrored_strategy()
    with strategy.scope():
        drop = Dropout(0.5)

    @tf.function
    def masks() -> tf.Tensor:
        def mask() -> tf.Tensor:
            with shifted_seeds(tf.distribute.get_replica_context().replica_id_in_sync_group):
                return drop(tf.ones([500]), training=True)

        return strategy.run(mask)

    for _ in range(2):
        first, second = (mask.numpy() for mask in strategy.experimental_local_results(masks()))
        assert 0.3 < (first != second).mean() < 0.7


class Machine:
    """The part of a strategy that `divide` needs, on one of several machines with several replicas each."""

    def __init__(self, number: int, machines: int, replicas: int) -> None:
        self.context = tf.distribute.InputContext(machines, number, machines * replicas)

    def distribute_datasets_from_function(self, deal: Callable[..., tf.data.Dataset]) -> tf.data.Dataset:
        return deal(self.context)


@pytest.mark.parametrize(("machines", "replicas"), [(1, 3), (2, 2), (2, 4), (3, 2), (16, 1)])
def test_replicas_of_several_machines_get_every_row_once_and_as_many(machines, replicas):
    rows = np.arange(1, 25)

    def stream_of(host: Host) -> tf.data.Dataset:
        padded = np.pad(rows, (0, -len(rows) % host.of))
        own = padded[host.number :: host.of]
        return tf.data.Dataset.from_tensors((own, own)).repeat()

    parts = [
        part.numpy()
        for number in range(machines)
        for part, _ in divide(stream_of, Machine(number, machines, replicas)).take(replicas)
    ]
    assert len(parts) == machines * replicas
    assert len({len(part) for part in parts}) == 1
    assert sorted(row for part in parts for row in part if row) == rows.tolist()
    first = [part[0] for part in parts]
    assert first == [1 + number + machines * replica for number in range(machines) for replica in range(replicas)]


def test_rows_are_padded_with_empty_ones_to_a_multiple_of_the_replicas():
    strategy = mirrored_strategy()
    _, per_replica = next(iter(divide(lambda _: stream(), strategy)))
    values = [part.numpy() for part in strategy.experimental_local_results(per_replica)]
    _, labels = next(batches())
    np.testing.assert_array_equal(values[0], labels[0::2])
    np.testing.assert_array_equal(values[1], np.concatenate([labels[1::2], np.zeros((1, 6))]))
