"""What `nmt serve --inside` opens: a run, which is exported, or an export and its run."""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tensorflow as tf

from keras_nmt.app.errors import UserError
from keras_nmt.app.exporting import export as exporter
from keras_nmt.app.inside import opening
from keras_nmt.app.inside.opening import opened
from keras_nmt.app.models.export_layout import DESCRIPTION, versions
from tests.app.command_line import nmt, refusal, tree
from tests.app.traced_once import golden_as, save_as


@pytest.mark.usefixtures("traced_once")
def test_a_run_is_exported_into_a_folder_that_is_removed(
    run: Path, export: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "check_in_fresh_process", mock.Mock(side_effect=AssertionError))  # takes too long
    monkeypatch.setattr(tf.saved_model, "save", save_as(export / "1"))
    monkeypatch.setattr(exporter, "golden_translations", golden_as(export / "1"))
    before = tree(run)
    with opened(run, None) as (served, inspected):
        assert served.name == "run"  # the name of the served model
        assert versions(served) == [1]
        description = json.loads((served / "1" / DESCRIPTION).read_text())
        assert (description["precision"], description["cpu_engine"]) == ("float32", "none")
        assert inspected.history()["checkpoints"] == [0, 2, 4]
    assert not served.exists()
    assert tree(run) == before
    assert f"{run}: exporting it into a temporary folder, which takes some seconds" in capfd.readouterr().err


def test_an_export_is_served_as_it_is_with_its_run(run: Path, export: Path) -> None:
    for path in (export, export / "1"):
        with opened(run, path) as (served, inspected):
            assert served == path
            assert inspected.run.path == run


def test_exports_of_other_runs_are_refused(run: Path, export: Path, tmp_path: Path) -> None:
    other = tmp_path / "export"
    shutil.copytree(export, other)
    description = json.loads((other / "1" / DESCRIPTION).read_text())
    description["run"]["seed"] += 1
    (other / "1" / DESCRIPTION).write_text(json.dumps(description))
    for path, expected in (
        (other, f"{other} was not exported from {run}; name its run after --inside"),
        (tmp_path, f"{tmp_path} holds no export; --inside needs one export, not a folder of exports"),
    ):
        with pytest.raises(UserError, match=expected), opened(run, path):
            pass
    with pytest.raises(UserError, match=f"is an export; name its run too: nmt serve {export} --inside RUN"):
        opened(export, None).__enter__()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "--inside"], ("run", None)),
        (["--inside", "run"], ("run", None)),
        (["export", "--inside", "run"], ("run", "export")),
    ],
)
def test_the_option_names_the_run(
    arguments: list[str], expected: tuple[str, str | None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[Any, ...]] = []

    @contextmanager
    def recorded(path: Path, export: Path | None) -> Iterator[Any]:
        asked.append((str(path), export and str(export)))
        raise UserError("recorded")
        yield

    monkeypatch.setattr(opening, "opened", recorded)
    assert refusal(nmt("serve", *arguments, "--port", "0"), "serve") == "recorded"
    assert asked == [expected]


def test_a_run_without_the_option_is_refused_with_both_ways(run: Path) -> None:
    assert refusal(nmt("serve", run, "--port", "0"), "serve") == (
        f"{run} is a run and holds no export; export it with `nmt export {run} --out EXPORT`, or serve it with "
        f"`nmt serve {run} --inside`, on this machine only"
    )
