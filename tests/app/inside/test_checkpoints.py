"""Reading the checkpoints of a run while its training adds and removes some, and the weights before the first step."""

import shutil
import threading
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.commands.serve import models_to_serve
from keras_nmt.app.errors import UserError
from keras_nmt.app.inside import checkpoints
from keras_nmt.app.inside.checkpoints import KeptCheckpoints, write_start
from keras_nmt.app.inside.errors import MissingCheckpointError
from keras_nmt.app.inside.inspected_run import InspectedRun, loaded_without_dropout
from keras_nmt.app.runs.checkpoints import IMPORTED
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.training.building import build_on_devices
from tests.app.command_line import tree
from tests.app.inside.small_run import SmallRun
from tests.eager import eager

TABLE = "transformer/embedding/embeddings"


@pytest.fixture(scope="module")
def twice_saved(tmp_path_factory: pytest.TempPathFactory) -> SmallRun:
    """A run with checkpoints of steps 1 and 2. Tests do not write to it, but train its weights in memory further."""
    small = SmallRun(tmp_path_factory.mktemp("small") / "run")
    for _ in range(2):
        small.learn()
        small.save()
    return small


@pytest.fixture
def small(twice_saved: SmallRun, tmp_path: Path) -> SmallRun:
    """A copy of the run, to write to."""
    return twice_saved.copied(tmp_path / "run")


def test_checkpoints_that_come_and_go_are_noticed(small: SmallRun, tmp_path: Path) -> None:
    kept = KeptCheckpoints(small.run)
    assert list(kept.paths()) == [1, 2]
    assert kept.weights(1).keys() == small.weights().keys()
    shutil.rmtree(small.run.checkpoints.step_path(1))
    message = "run has no checkpoint of step 1; there are: 2"
    with pytest.raises(MissingCheckpointError, match=message):
        kept.weights(1)  # which is still in the cache
    with pytest.raises(MissingCheckpointError, match=message):
        kept.state(1)
    small.learn()
    small.save()
    np.testing.assert_array_equal(kept.weights(3)[TABLE], small.weights()[TABLE])
    (small.run.checkpoints.step_path(2) / "weights.npz").unlink()
    with pytest.raises(MissingCheckpointError, match="the training has just removed the checkpoint of step 2"):
        kept.weights(2)


def test_a_checkpoint_that_is_removed_while_it_is_read_is_not_one_without_a_state(
    small: SmallRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = KeptCheckpoints(small.run)
    monkeypatch.setattr(kept, "_path", lambda _: tmp_path / "removed")  # as if it had still been there
    with pytest.raises(MissingCheckpointError, match="the training has just removed the checkpoint of step 1"):
        kept.state(1)


def test_a_checkpoint_that_is_written_again_is_read_again(small: SmallRun) -> None:
    kept = KeptCheckpoints(small.run)
    first = kept.weights(2)
    assert kept.weights(2) is first
    small.step -= 1
    small.learn()
    small.save()
    np.testing.assert_array_equal(kept.weights(2)[TABLE], small.weights()[TABLE])
    assert not np.array_equal(first[TABLE], kept.weights(2)[TABLE])


def test_a_damaged_archive_is_reported(small: SmallRun) -> None:
    file = small.run.checkpoints.step_path(2) / "weights.npz"
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 255
    for damaged in (bytes(content), content[:1000], b""):
        file.write_bytes(damaged)
        with pytest.raises(UserError, match=r"step-00000002 is damaged: weights\.npz cannot be read"):
            KeptCheckpoints(small.run).weights(2)


def test_the_cache_has_a_limit(small: SmallRun, monkeypatch: pytest.MonkeyPatch) -> None:
    read = mock.Mock(wraps=checkpoints.read_arrays)
    monkeypatch.setattr(checkpoints, "read_arrays", read)
    size = sum(array.nbytes for array in small.weights().values())
    for room, files in ((2 * size, 2), (2 * size - 1, 4), (1, 4)):
        read.reset_mock()
        kept = KeptCheckpoints(small.run, cached_bytes=room)
        for step in (1, 2, 1, 2):
            kept.weights(step)
        kept.weights(2)
        assert read.call_count == files


def test_the_weights_before_the_first_step_are_those_that_the_training_drew(run: Path, tmp_path: Path) -> None:
    opened = RunDirectory.open(run)
    assert opened.configuration.model.residual_dropout > 0  # dropout draws seeds between the weights
    start = write_start(opened, tmp_path / "step-00000000")
    trainer = build_on_devices(tf.distribute.get_strategy(), opened.configuration)
    kept = KeptCheckpoints(opened, start)
    assert list(kept.paths()) == [0, 2, 4]
    for weight in trainer.transformer.weights:
        np.testing.assert_array_equal(kept.weights(0)[weight.path], weight.numpy(), err_msg=weight.path)
    assert kept.state(0) == {}
    assert not np.array_equal(kept.weights(0)[TABLE], kept.weights(2)[TABLE])


def with_setting(run: RunDirectory, **settings: Any) -> RunDirectory:
    training = replace(run.configuration.training, **settings)
    return replace(run, configuration=replace(run.configuration, training=training))


@pytest.mark.parametrize(
    "changed",
    [
        lambda run: with_setting(run, warm_start="other"),
        lambda run: replace(run, manifest={**run.manifest, IMPORTED: {"name": "opus-mt"}}),
        lambda run: replace(run, manifest={**run.manifest, "versions": {**run.manifest["versions"], "keras": "3.0"}}),
    ],
)
def test_a_start_that_cannot_be_known_is_not_shown(
    small: SmallRun, tmp_path: Path, changed: Callable[[RunDirectory], RunDirectory]
) -> None:
    assert write_start(small.run, tmp_path / "start") == tmp_path / "start"
    assert write_start(changed(small.run), tmp_path / "other") is None
    assert not (tmp_path / "other").exists()


def test_a_step_of_a_run_that_was_not_trained_here_is_refused(small: SmallRun) -> None:
    model = loaded_without_dropout(small.run.path)
    manifest = {**small.run.manifest, IMPORTED: {"from": "Marian", "name": "opus-mt"}}
    model.run = replace(small.run, manifest=manifest)
    inspected = InspectedRun(model)
    with pytest.raises(UserError, match="run was not trained by `nmt train`, so no training step follows"):
        inspected.take_step(2, "The cat.", "Die Katze.")


def test_requests_at_the_same_time_wait_for_one_another_and_leave_the_run_unchanged(small: SmallRun) -> None:
    before = tree(small.run.path)
    inspected = InspectedRun(loaded_without_dropout(small.run.path))
    together: list[tuple[int, Any]] = []

    def ask(step: int) -> None:
        together.append((step, inspected.take_step(step, "A dog barks.", "Ein Hund bellt.")[1]))

    with eager():
        alone = {step: inspected.take_step(step, "A dog barks.", "Ein Hund bellt.")[1] for step in (1, 2)}
        threads = [threading.Thread(target=ask, args=(step,)) for step in (1, 2, 1, 2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert alone[1].loss != alone[2].loss
    assert sorted(step for step, _ in together) == [1, 1, 2, 2]
    for step, figures in together:
        assert (figures.loss, figures.after.tolist()) == (alone[step].loss, alone[step].after.tolist())
    assert tree(small.run.path) == before


def test_a_server_that_shows_a_run_traces_its_graphs_before_the_first_request(small: SmallRun) -> None:
    inspected = InspectedRun(loaded_without_dropout(small.run.path))
    opened = mock.patch("keras_nmt.app.inside.opening.opened", return_value=nullcontext((small.run.path, inspected)))
    for error in (None, UserError("step-00000002 is damaged")):  # which the request for the checkpoint tells of
        with (
            opened,
            mock.patch.object(InspectedRun, "overview", side_effect=error) as overview,
            ExitStack() as until_end,
        ):
            found = models_to_serve(Namespace(inside=True, exports=small.run.path), until_end)
        assert found == (small.run.path, inspected)
        assert overview.call_args.args[0] == 2
        assert overview.call_args.args[2]  # target tokens, so that both graphs are traced
