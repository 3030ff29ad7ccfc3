"""Opens a run, and its export, for `nmt serve --inside`."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from keras_nmt.app.errors import UserError
from keras_nmt.app.exporting.any_task import export_model
from keras_nmt.app.inside.checkpoints import write_start
from keras_nmt.app.inside.inspected_run import InspectedRun, loaded_without_dropout
from keras_nmt.app.models.export_layout import DESCRIPTION, newest_version
from keras_nmt.app.models.exports import reporting_damage
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say


@contextmanager
def opened(path: Path, export: Path | None) -> Iterator[tuple[Path, InspectedRun]]:
    """Yields an export to serve, and the run that the page may look into. Nothing is written to either.

    Args:
        path: The run.
        export: An export of the run; None to export the run into a temporary folder, which is removed at the end.

    Raises:
        UserError: There is no run at `path`, it has no checkpoint, or `export` was exported from another run.
    """
    if newest_version(path) and not RunDirectory.is_run(path):
        raise UserError(f"{path} is an export; name its run too: nmt serve {path} --inside RUN")
    model = loaded_without_dropout(path)
    if export:
        require_same_run(export, model.run)
    with tempfile.TemporaryDirectory(prefix="nmt-inside-") as name:
        folder = Path(name)
        start = write_start(RunDirectory.open(path), folder / "step-00000000")
        if export is None:
            say(f"{path}: exporting it into a temporary folder, which takes some seconds")
            export = folder / "exports" / path.resolve().name
            export_model(model, export, cpu_engine="none", checked=False)
        yield export, InspectedRun(model, start)


def require_same_run(export: Path, run: RunDirectory) -> None:
    """Raises `UserError` unless `export` is one export, or a version of it, that was exported from the run."""
    version = newest_version(export)
    if version is None:
        raise UserError(f"{export} holds no export; --inside needs one export, not a folder of exports")
    with reporting_damage(version):
        manifest = json.loads((version / DESCRIPTION).read_text(encoding="utf-8"))["run"]
    if manifest != run.manifest:
        raise UserError(f"{export} was not exported from {run.path}; name its run after --inside")
