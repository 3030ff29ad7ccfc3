"""Checkpoints restore every bit, and are complete or absent."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs import checkpoints
from keras_nmt.app.runs.averaging import write_average
from keras_nmt.app.runs.checkpoint_folder import CheckpointFolder
from keras_nmt.app.runs.checkpoints import STOPPED_BY, Checkpoint, DamagedCheckpoint, first_undamaged, write_checkpoint
from keras_nmt.app.training.optimization.adam import FusedAdam
from keras_nmt.app.training.optimization.muon import Muon

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
    """Returns a model and its optimizer, with random values in every variable that depend on the seed."""
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
    return CheckpointFolder(tmp_path / "checkpoints")


def saved(folder: CheckpointFolder, *steps: int) -> list[Path]:
    return [folder.save(step, *trained(step), {}) for step in steps]


def names(folder: CheckpointFolder) -> list[str]:
    return sorted(path.name for path in folder.path.iterdir())


def test_muons_state_is_restored_bit_for_bit(folder: CheckpointFolder) -> None:
    model, other = Model(), Model()
    optimizer, other_optimizer = Muon(), Muon()
    for each, its_model in ((optimizer, model), (other_optimizer, other)):
        each.build(its_model.trainable_variables)
    for variable in optimizer.variables:
        variable.assign(keras.ops.ones_like(variable) * 3)
    Checkpoint.open(folder.save(7, model, optimizer, {})).restore(other, other_optimizer)
    state = values(other, other_optimizer)
    assert len(state) == 2 + 1 + 6  # one moment of the kernel, two of the bias
    for ours, theirs in zip(values(model, optimizer), state, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_weights_optimizer_and_seeds_are_restored_bit_for_bit(folder: CheckpointFolder) -> None:
    model, optimizer = trained(1)
    path = folder.save(7, model, optimizer, {"stopped_by": "SIGTERM"})
    other, other_optimizer = trained(2)
    assert not all(map(np.array_equal, values(model, optimizer), values(other, other_optimizer)))
    latest = Checkpoint.open(path)
    assert (latest.step, latest.facts) == (7, {"stopped_by": "SIGTERM"})
    latest.restore(other, other_optimizer)
    before, after = values(model, optimizer), values(other, other_optimizer)
    assert len(before) == 2 + 1 + 7  # weights; the seed; iterations, learning rate, its factor, two moments a weight
    for ours, theirs in zip(before, after, strict=True):
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs)


def test_an_empty_folder_has_no_steps_and_no_average(folder: CheckpointFolder) -> None:
    assert folder.steps() == folder.in_turn() == []
    assert not folder.average_is_fresh()


def test_averaged_weights_are_loaded_for_translation_and_raw_ones_for_training(folder: CheckpointFolder) -> None:
    model, optimizer = trained(1, use_ema=True)
    latest = Checkpoint.open(folder.save(7, model, optimizer, {}))
    other, other_optimizer = trained(2, use_ema=True)
    latest.load_weights(other)
    for weight, average in zip(other.weights, optimizer.averages, strict=True):
        np.testing.assert_array_equal(keras.ops.convert_to_numpy(weight), keras.ops.convert_to_numpy(average))
    latest.restore(other, other_optimizer)
    for mine, theirs in zip(values(other, other_optimizer), values(model, optimizer), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_the_newest_and_the_best_are_kept(folder: CheckpointFolder) -> None:
    saved(folder, 8, 9, 10, 100_000_000, 11)
    folder.prune(newest=2, best=[8, 10_000])
    assert [step for step, _ in folder.steps()] == [8, 11, 100_000_000]
    assert names(folder) == ["step-00000008", "step-00000011", "step-100000000"]


def test_a_checkpoint_out_of_turn_is_replaced_by_the_next(folder: CheckpointFolder) -> None:
    saved(folder, 10, 20)
    folder.save(23, *trained(23), {STOPPED_BY: "SIGTERM"})
    folder.prune(newest=2, best=[])
    assert names(folder) == ["step-00000010", "step-00000020", "step-00000023"]
    assert [step for step, _ in folder.in_turn()] == [10, 20]
    saved(folder, 30)
    folder.prune(newest=2, best=[])
    assert names(folder) == ["step-00000020", "step-00000030"]


def test_the_average_is_the_mean(folder: CheckpointFolder) -> None:
    models = [trained(seed) for seed in range(3)]
    paths = [folder.save(step, model, optimizer, {}) for step, (model, optimizer) in enumerate(models)]
    path = write_average(folder, [paths[1], paths[0]])
    found = Checkpoint.open(path)
    assert path == folder.average_path()
    assert (found.step, found.facts) == (2, {"averaged": [0, 1]})  # made when the newest was 2
    for weight in models[0][0].trainable_variables:
        both = [
            keras.ops.convert_to_numpy(next(w for w in model.trainable_variables if w.path == weight.path))
            for model, _ in models[:2]
        ]
        np.testing.assert_allclose(found.weights()[weight.path], np.mean(both, axis=0), rtol=1e-6)
    assert [step for step, _ in folder.steps()] == [0, 1, 2]  # an average is none of the run's steps


def test_an_average_replaces_an_earlier_one_and_is_fresh_until_the_next_step(folder: CheckpointFolder) -> None:
    paths = saved(folder, 1, 2)
    write_average(folder, paths)
    assert Checkpoint.open(write_average(folder, paths[:1])).facts == {"averaged": [1]}
    assert folder.average_is_fresh()
    saved(folder, 3)
    assert not folder.average_is_fresh()


def flip_a_bit(path: Path) -> str:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    return f"{path.name} has another checksum than when it was written"


def truncate(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-1])
    return f"{path.name} has another checksum than when it was written"


def remove(path: Path) -> str:
    path.unlink()
    return f"{path.name} no such file or directory"


@pytest.mark.parametrize("name", ["weights.npz", "state.npz"])
@pytest.mark.parametrize("damage", [flip_a_bit, truncate, remove], ids=lambda f: f.__name__)
def test_the_first_undamaged_checkpoint_is_opened_and_damage_is_named(
    folder: CheckpointFolder, name: str, damage: Callable[[Path], str]
) -> None:
    good, bad = saved(folder, 1, 2)
    message = damage(bad / name)
    found, damaged = first_undamaged([bad, good])
    assert found.path == good
    assert [(error.path, str(error)) for error in damaged] == [(bad, f"{bad} is damaged: {message}")]
    with pytest.raises(DamagedCheckpoint, match=r"step-00000002 is damaged: "):
        first_undamaged([bad])


@pytest.mark.parametrize(
    ("description", "message"),
    [
        ("{", "checkpoint.json cannot be read"),
        ("[]", "checkpoint.json cannot be read"),
        ("{}", "checkpoint.json cannot be read"),
        ('{"step": 1, "facts": {}, "sha256": []}', "checkpoint.json cannot be read"),
        ('{"step": 3, "facts": {}, "sha256": {}}', "checkpoint.json is that of step 3"),
    ],
)
def test_a_damaged_description_is_named(folder: CheckpointFolder, description: str, message: str) -> None:
    (path,) = saved(folder, 1)
    (path / "checkpoint.json").write_text(description)
    with pytest.raises(DamagedCheckpoint) as refused:
        Checkpoint.open(path)
    assert str(refused.value) == f"{path} is damaged: {message}"
    assert folder.in_turn() == [(1, path)]


def test_a_damaged_checkpoint_that_was_set_aside_no_longer_counts(folder: CheckpointFolder) -> None:
    for _ in range(2):
        (path,) = saved(folder, 1)
        assert folder.set_aside(path).name == "step-00000001.damaged"
    assert folder.steps() == []
    assert names(folder) == ["step-00000001.damaged"]


def test_leftovers_of_a_killed_training_do_not_count_and_are_removed(folder: CheckpointFolder) -> None:
    (path,) = saved(folder, 1)
    for name in (".step-00000002.partial", ".step-00000000.removed", ".average.partial"):
        shutil.copytree(path, folder.path / name)
    assert folder.steps() == [(1, path)]
    folder.clear_leftovers()
    assert names(folder) == [".average.partial", "step-00000001"]


def test_weights_of_another_shape_are_refused_with_the_name_of_the_first(folder: CheckpointFolder) -> None:
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


def test_a_weight_that_earlier_versions_did_not_have_is_0(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, optimizer = trained(1)
    path = folder.save(1, model, optimizer, {})
    weights = Checkpoint.open(path).weights()
    del weights["dense/bias"]
    np.savez(path / "weights.npz", **weights)  # type: ignore[arg-type]
    monkeypatch.setattr(checkpoints, "ADDED", ("dense/bias",))
    other, other_optimizer = trained(2)
    Checkpoint(path, 1, {}).load_weights(other)
    assert not np.any(other.dense.bias)
    np.testing.assert_array_equal(other.dense.kernel, model.dense.kernel)
    with pytest.raises(UserError, match="was written before models had dense/bias; it can be used, but its training"):
        Checkpoint(path, 1, {}).restore(other, other_optimizer)


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stopped"]
)
def test_an_interrupted_write_leaves_earlier_checkpoints_alone(
    folder: CheckpointFolder, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    (path,) = saved(folder, 1)

    def break_off(path: Path) -> str:
        raise error

    monkeypatch.setattr(checkpoints, "sha256_of", break_off)  # after the archives, before the description
    with pytest.raises(type(error)) as raised:
        saved(folder, 2)
    monkeypatch.undo()
    if isinstance(raised.value, OSError):
        assert raised.value.filename == str(folder.step_path(2))
    assert names(folder) == ["step-00000001"]
    assert Checkpoint.open(path).step == 1
