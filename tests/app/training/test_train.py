"""A fresh training: how often it reads its data's manifest."""

from pathlib import Path
from typing import Any

import pytest

from keras_nmt.pipelines.shards.manifest import Manifest
from tests.app.command_line import nmt, succeeded, train_arguments


@pytest.mark.usefixtures("traced_once")
def test_a_fresh_training_loads_the_manifest_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[Any] = []
    load = Manifest.load

    def counted(data_dir: Any) -> Manifest:
        loaded.append(data_dir)
        return load(data_dir)

    monkeypatch.setattr(Manifest, "load", counted)
    succeeded(nmt(*train_arguments(data, tmp_path / "run", "training.steps=2", "training.dev_sentences=0")))
    assert loaded == [data]
