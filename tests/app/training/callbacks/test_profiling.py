"""`nmt train --profile`: the profile that TensorBoard shows, and steps that cannot be profiled."""

from pathlib import Path

import pytest
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from tests.app.command_line import nmt, succeeded, train_arguments


def events(profile: Path) -> tuple[set[str], list[int]]:
    """Returns the names of all events of a profile, and the steps that are marked in it."""
    names, steps = set(), set()
    for plane in xplane_pb2.XSpace.FromString(profile.read_bytes()).planes:
        for event in (event for line in plane.lines for event in line.events):
            name = plane.event_metadata[event.metadata_id].name
            names.add(name)
            if name == "train":
                steps |= {
                    stat.int64_value or stat.uint64_value
                    for stat in event.stats
                    if plane.stat_metadata[stat.metadata_id].name == "step_num"
                }
    return names, sorted(steps)


@pytest.mark.slow
def test_the_profile_holds_the_operations_of_the_chosen_steps(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    settings = ("training.checkpoint_every=4", "training.dev_sentences=0")
    done = nmt(*train_arguments(data, out, *settings), "--profile", "2,3")
    assert succeeded(done).lines == [str(out)]
    (profile,) = (out / "tensorboard" / "plugins" / "profile").glob("*/*.xplane.pb")
    names, steps = events(profile)
    assert steps == [2, 3]
    assert {name for name in names if "MatMul" in name}
    assert {name for name in names if "ResourceApplyAdam" in name}


@pytest.mark.parametrize("steps", ["0,2", "3,2", "4,5"])
def test_steps_after_the_last_are_refused_before_anything_is_written(data: Path, tmp_path: Path, steps: str) -> None:
    done = nmt(*train_arguments(data, tmp_path / "run"), "--profile", steps)
    assert done.complaints == [
        f"nmt train: --profile {steps}: the remaining steps are 1 to 4; choose from them, as in --profile 1,4"
    ]
    assert not (tmp_path / "run").exists()


def test_finished_steps_are_refused_when_a_run_resumes(data: Path, run_copy: Path) -> None:
    done = nmt(*train_arguments(data, run_copy, "training.steps=30"), "--profile", "4,5")
    assert done.complaints == [
        "nmt train: --profile 4,5: the remaining steps are 5 to 30; choose from them, as in --profile 5,14"
    ]


@pytest.mark.parametrize("steps", ["10", "1,2,3", "a,b"])
def test_unreadable_steps_are_a_usage_error(data: Path, tmp_path: Path, steps: str) -> None:
    done = nmt(*train_arguments(data, tmp_path / "run"), "--profile", steps)
    assert done.code == 2
    assert f'argument --profile: cannot read "{steps}"; give two steps, as in 10,20' in done.err
