"""A training that starts from another run's weights."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from keras_nmt.app.runs.choice import choose_checkpoint
from keras_nmt.app.runs.directory import RunDirectory
from tests.app.command_line import SAMPLE, nmt, succeeded, train_arguments
from tests.app.traced_once import on_one_device

pytestmark = pytest.mark.usefixtures("traced_once")
STANDING_STILL = (
    "training.dev_sentences=0",
    "training.steps=1",
    "training.checkpoint_every=1",
    "training.learning_rate=1e-12",
)


@pytest.fixture(autouse=True)
def one_device() -> Iterator[None]:
    with on_one_device():
        yield


def test_the_first_weights_are_those_of_the_other_run_and_the_optimizer_is_new(
    run: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "further"
    done = succeeded(nmt(*train_arguments(data, out, *STANDING_STILL), "--warm-start", run))
    given = choose_checkpoint(RunDirectory.open(run), None)
    assert f"starting from the weights of {given.path}" in done.err
    further = RunDirectory.open(out)
    assert further.configuration.training.warm_start == str(run)
    ours, theirs = choose_checkpoint(further, None).weights(), given.weights()
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        np.testing.assert_allclose(ours[name], weight, atol=1e-6, err_msg=name)
    with np.load(choose_checkpoint(further, None).path / "state.npz") as state:
        assert int(state["optimizer/0000"]) == 1  # updates

    again = succeeded(nmt(*train_arguments(data, out, *STANDING_STILL), "--warm-start", run))
    assert "starting from" not in again.err


def test_an_unusable_warm_start_is_reported(run: Path, data: Path, tmp_path: Path) -> None:
    def refused(data: Path, *settings: str, start: Path = run) -> str:
        done = nmt(*train_arguments(data, tmp_path / "out", *settings), "--warm-start", start)
        assert done.code == 1
        return done.complaints[0]

    nothing = tmp_path / "nothing"
    assert refused(data, start=nothing) == f"nmt train: {nothing} is not a run of `nmt train`: there is no such folder"
    assert f"{run / 'checkpoints'}" in refused(data, "model.inner_width=24")
    other = tmp_path / "other"
    sizes = ("--limit", "300", "--vocabulary-size", "400", "--workers", "1")
    succeeded(nmt("prepare", "--pair", "en-de", "--corpus", SAMPLE, "--dev", SAMPLE, *sizes, "--out", other))
    assert f"prepare the data with --vocabulary {run / 'vocabulary.model'}" in refused(other)
