"""The export of a model of any task as a SavedModel."""

from pathlib import Path
from typing import Any

from keras_nmt.app.exporting.export import export
from keras_nmt.app.exporting.generation import export_generator
from keras_nmt.app.models.loading import RunModel

_EXPORTS = {"translate": export, "generate": export_generator}


def export_model(model: RunModel, out: Path, **options: Any) -> Path:
    """Exports a model by the `export` of its route, and returns the folder of the new version.

    `options` are those of `export`, which `export_generator` has too.
    """
    return _EXPORTS[model.task.route](model, out, **options)
