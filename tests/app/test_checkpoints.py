"""Checkpoints give back every bit, and are whole or not there."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from app.errors import UserError
from app.training import checkpoints
from app.training.checkpoints import Checkpoint, CheckpointFolder, average_newest, write_checkpoint
from app.training.optimizer import FusedAdam

Arrays = dict[str, np.ndarray]


class Model(keras.Model):
    """Two weights and the seed of a dropout."""

    def __init__(self, width: int = 3) -> None:
        super().__init__(name="model")
        self.dense = keras.layers.Dense(width, name="dense")
        self.dropout = keras.layers.Dropout(0.5, seed=5)
        self.dense.build((None, 2))
        self.built = True


def trained(seed: int, width: int = 3, **options: Any) -> tuple[Model, FusedAdam]:
    """A model with random weights whose optimizer has made one update; every variable differs by the seed."""
    model, optimizer = Model(width), FusedAdam(**options)
    random = np.random.default_rng(seed)
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    for variable in variables:
        whole = "int" in variable.dtype
        variable.assign(random.integers(1, 99, variable.shape) if whole else random.normal(size=variable.shape))
    return model, optimizer


def values(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> list[np.ndarray]:
    return [keras.ops.convert_to_numpy(v) for v in (*model.variables, *optimizer.variables)]


@pytest.fixture
def folder(tmp_path: Path) -> CheckpointFolder:
    return CheckpointFolder(tmp_path / "checkpoints", keep=3)


def test_weights_optimizer_and_seeds_come_back_bit_for_bit(folder: CheckpointFolder) -> None:
    model, optimizer = trained(1)
    folder.save(7, model, optimizer, {"dev_bleu": 1.5})
    other, other_optimizer = trained(2)
    assert not all(map(np.array_equal, values(model, optimizer), values(other, other_optimizer)))
    latest = folder.latest()
    assert latest is not None
    assert (latest.step, latest.facts) == (7, {"dev_bleu": 1.5})
    latest.restore(other, other_optimizer)
    before, after = values(model, optimizer), values(other, other_optimizer)
    assert len(before) == 2 + 1 + 7  # weights; the seed; iterations, learning rate, its factor, two moments a weight
    for ours, theirs in zip(before, after, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_an_empty_folder_has_no_latest(folder: CheckpointFolder) -> None:
    assert folder.latest() is None
    assert folder.steps() == []


def test_averaged_weights_are_what_one_translates_with_and_the_others_go_on_learning(folder: CheckpointFolder) -> None:
    model, optimizer = trained(1, use_ema=True)
    folder.save(7, model, optimizer, {})
    latest = folder.latest()
    assert latest is not None
    other, other_optimizer = trained(2, use_ema=True)
    latest.load_weights(other)
    for weight, average in zip(other.weights, optimizer.averages, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(average))
    latest.restore(other, other_optimizer)
    for mine, theirs in zip(values(other, other_optimizer), values(model, optimizer), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_newest_are_kept_in_the_order_of_their_steps(folder: CheckpointFolder) -> None:
    model, optimizer = trained(1)
    for step in (8, 9, 10, 100_000_000, 11):
        folder.save(step, model, optimizer, {})
    assert [step for step, _ in folder.steps()] == [10, 11, 100_000_000]
    assert sorted(path.name for path in folder.path.iterdir()) == [
        *("step-00000010", "step-00000011", "step-100000000")
    ]


def test_the_average_is_the_mean_of_the_newest(folder: CheckpointFolder) -> None:
    models = [trained(seed) for seed in range(3)]
    for step, (model, optimizer) in enumerate(models):
        folder.save(step, model, optimizer, {})
    path = average_newest(folder, 2)
    found = Checkpoint.open(path)
    assert path == folder.average_path()
    assert (found.step, found.facts) == (2, {"averaged": [1, 2]})
    for weight in models[0][0].trainable_variables:
        both = [
            keras.ops.convert_to_numpy(next(w for w in model.trainable_variables if w.path == weight.path))
            for model, _ in models[1:]
        ]
        np.testing.assert_allclose(found.weights()[weight.path], np.mean(both, axis=0), rtol=1e-6)
    assert [step for step, _ in folder.steps()] == [0, 1, 2]  # an average is none of the run's steps


def test_an_average_replaces_an_earlier_one(folder: CheckpointFolder) -> None:
    for step in (1, 2):
        folder.save(step, *trained(step), {})
    average_newest(folder, 2)
    assert Checkpoint.open(average_newest(folder, 1)).facts == {"averaged": [2]}


def test_too_few_checkpoints_are_counted(folder: CheckpointFolder) -> None:
    folder.save(1, *trained(1), {})
    with pytest.raises(UserError, match=r"has 1 checkpoint\(s\), fewer than --last 2; train on, or keep more with"):
        average_newest(folder, 2)


@pytest.mark.parametrize("name", ["weights.npz", "state.npz"])
def test_a_changed_file_is_named(folder: CheckpointFolder, name: str) -> None:
    path = folder.save(1, *trained(1), {})
    content = bytearray((path / name).read_bytes())
    content[len(content) // 2] ^= 1
    (path / name).write_bytes(content)
    with pytest.raises(UserError) as refused:
        folder.latest()
    assert str(refused.value) == f"{path / name} is missing or damaged; remove {path} to use an earlier checkpoint"


def test_a_folder_without_its_description_is_no_checkpoint(folder: CheckpointFolder) -> None:
    path = folder.save(1, *trained(1), {})
    (path / "checkpoint.json").write_text("{")
    with pytest.raises(UserError, match=r"step-00000001 is not a checkpoint: checkpoint.json is missing or damaged"):
        folder.latest()


def test_other_weights_are_refused_by_the_name_of_the_first(folder: CheckpointFolder) -> None:
    path = folder.save(1, *trained(1, width=3), {})
    wider, _ = trained(1, width=5)
    with pytest.raises(UserError) as refused:
        Checkpoint.open(path).load_weights(wider)
    assert str(refused.value) == f"{path}: expected dense/kernel of shape [2, 5], found [2, 3]"


def test_a_missing_weight_is_named(tmp_path: Path) -> None:
    path = write_checkpoint(tmp_path / "step-00000001", 1, {"weights.npz": {"other": np.zeros(1)}}, {})
    model, _ = trained(1)
    with pytest.raises(UserError, match=r"expected dense/kernel of shape \[2, 3\], found nothing"):
        Checkpoint.open(path).load_weights(model)


@pytest.mark.parametrize(
    ("error", "raised", "message"),
    [
        (
            OSError(28, "No space left on device"),
            UserError,
            r"cannot write .*: No space left on device; earlier checkpoints",
        ),
        (KeyboardInterrupt(), KeyboardInterrupt, "^$"),
    ],
    ids=["full", "interrupted"],
)
def test_a_write_that_breaks_off_leaves_the_earlier_checkpoints_alone(
    folder: CheckpointFolder,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    raised: type[BaseException],
    message: str,
) -> None:
    folder.save(1, *trained(1), {})

    def break_off(path: Path) -> str:
        raise error

    monkeypatch.setattr(checkpoints, "sha256_of", break_off)  # after the archives, before the description
    with pytest.raises(raised, match=message):
        folder.save(2, *trained(2), {})
    monkeypatch.undo()
    assert [path.name for path in folder.path.iterdir()] == ["step-00000001"]
    latest = folder.latest()
    assert latest is not None
    assert latest.step == 1
