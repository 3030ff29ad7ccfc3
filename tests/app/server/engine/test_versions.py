"""Versions that appear and disappear while the server runs."""

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import tensorflow as tf

from keras_nmt.app.errors import UserError
from keras_nmt.app.exporting.signature_definitions import signature_definitions
from keras_nmt.app.models import export_layout as layout
from keras_nmt.app.models.exports import reporting_damage
from keras_nmt.app.server.engine import export_folders
from keras_nmt.app.server.engine import models as served_models
from keras_nmt.app.server.engine.export_folders import exports_at
from keras_nmt.app.server.engine.metrics import Metrics
from keras_nmt.app.server.engine.models import Models
from keras_nmt.app.server.engine.versions import Version
from keras_nmt.app.server.errors import NotFoundError
from tests.app.server.serving import serving

warm_up = Version.warm_up  # before the fixture for all tests replaces it
ASKED = {"q": "It rains.", "source": "en", "target": "de"}


@pytest.fixture
def exports(export: Path, tmp_path: Path) -> Path:
    """A writable folder with one export."""
    shutil.copytree(export / "1", tmp_path / "exports" / "en-de" / "1")
    return tmp_path / "exports"


def publish(exports: Path, number: int) -> None:
    """Adds a version atomically, as `nmt export` does."""
    partial = exports / "en-de" / f".{number}.partial"
    shutil.copytree(exports / "en-de" / "1", partial)
    partial.rename(exports / "en-de" / str(number))


def wait_until(seconds: float, happens: Callable[[], bool]) -> None:
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_new_version_replaces_the_old_one_without_a_failed_request(
    exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served_models, "POLL_SECONDS", 0.05)
    load = tf.saved_model.load

    def load_slowly(path: str) -> Any:
        time.sleep(1)  # so that requests arrive while it loads
        return load(path)

    monkeypatch.setattr(tf.saved_model, "load", load_slowly)
    with serving(exports) as running:
        done = threading.Event()
        statuses: set[int] = set()

        def client() -> None:
            while not done.is_set():
                statuses.add(running.post("/translate", ASKED).status_code)
                time.sleep(0.02)

        def answers() -> list[str]:
            states = running.ok("/v1/models/en-de")["model_version_status"]
            return [state["version"] for state in states if state["state"] == "AVAILABLE"]

        clients = [threading.Thread(target=client) for _ in range(2)]
        for thread in clients:
            thread.start()
        publish(exports, 2)
        wait_until(60, lambda: answers() == ["2"])
        assert running.get("/v1/models/en-de/versions/1").status_code == 404
        shutil.rmtree(exports / "en-de" / "2")  # a rollback
        wait_until(60, lambda: answers() == ["1"])
        done.set()
        for thread in clients:
            thread.join()
        assert statuses == {200}


def test_a_model_is_warm_once_every_signature_has_run(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []
    monkeypatch.setattr(Version, "warm_up", lambda version, names: ran.extend(names))
    metrics = Metrics()
    models = Models(exports, metrics)
    of_model = {"model": "en-de"}
    assert metrics.registry.get_sample_value("nmt_model_warm", of_model) == 0
    models.watch()
    wait_until(10, lambda: metrics.registry.get_sample_value("nmt_model_warm", of_model) == 1)
    models.stop()
    assert sorted(ran) == sorted(models.get("en-de").definitions)


def test_a_damaged_version_is_refused_and_the_old_one_stays(exports: Path, capfd: pytest.CaptureFixture[str]) -> None:
    metrics = Metrics()
    models = Models(exports, metrics)
    publish(exports, 2)
    (exports / "en-de" / "2" / "saved_model.pb").write_bytes(b"damaged")
    publish(exports, 3)
    (exports / "en-de" / "3" / "assets.extra" / "nmt.json").unlink()
    for _ in range(2):
        models.refresh()
        assert models.get("en-de").number == 1
    refused = [line for line in capfd.readouterr().err.splitlines() if "cannot be loaded" in line]
    assert [line.split(" cannot be loaded")[0] for line in refused] == [
        "en-de: version 3",
        "en-de: version 2",
    ]  # each is reported once
    assert "nmt_load_failures_total" in metrics.page().decode()
    shutil.rmtree(exports / "en-de" / "3")
    shutil.rmtree(exports / "en-de" / "2")
    publish(exports, 2)
    models.refresh()
    assert models.get("en-de").number == 2


def test_damaged_signature_definitions_raise_a_user_error(tmp_path: Path) -> None:
    (tmp_path / "saved_model.pb").write_bytes(b"damaged")  # another engine would not load it
    with pytest.raises(UserError, match="cannot load the export"), reporting_damage(tmp_path):
        signature_definitions(tmp_path)


def test_each_signature_is_warmed_up_once(export: Path) -> None:
    version = Version("export", export / "1")
    called: list[str] = []

    def counted(name: str) -> Any:
        function = mock.Mock(side_effect=lambda **_: called.append(name))
        function.structured_input_signature = version.export.saved_model.signatures[name].structured_input_signature
        return function

    version.signatures = {name: counted(name) for name in version.definitions}
    warm_up(version, tuple(version.definitions))
    assert sorted(called) == sorted(version.definitions)


def test_models_come_and_go(exports: Path) -> None:
    models = Models(exports, Metrics())
    assert models.names() == ["en-de"]
    shutil.copytree(exports / "en-de", exports / "other")
    models.refresh()
    assert models.names() == ["en-de", "other"]
    assert models.for_pair("en", "de").version.model == "en-de"
    shutil.rmtree(exports / "en-de")
    models.refresh()
    assert models.names() == ["other"]
    with pytest.raises(NotFoundError, match="there is no model en-de; there are: other"):
        models.get("en-de")


def test_a_deleted_model_has_no_version_in_the_metrics(exports: Path) -> None:
    metrics = Metrics()
    shutil.copytree(exports / "en-de", exports / "other")
    models = Models(exports, metrics)
    shutil.rmtree(exports / "en-de")
    models.refresh()
    for name in ("nmt_model_version", "nmt_model_warm"):
        assert metrics.registry.get_sample_value(name, {"model": "en-de"}) is None
        assert metrics.registry.get_sample_value(name, {"model": "other"}) is not None
    models._warm_up_all()
    assert metrics.registry.get_sample_value("nmt_model_warm", {"model": "en-de"}) is None


def test_hidden_and_unreadable_folders_are_skipped(exports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for hidden in (".en-fr.partial", "..data", "lost+found"):
        shutil.copytree(exports / "en-de", exports / hidden)

    def versions(folder: Path) -> list[int]:
        if folder.name == "lost+found":
            raise PermissionError(13, "Permission denied", str(folder))
        return layout.versions(folder)

    monkeypatch.setattr(export_folders, "versions", versions)
    assert list(exports_at(exports)) == ["en-de"]


def test_a_path_may_be_a_version_an_export_or_a_folder_of_exports(exports: Path) -> None:
    shutil.copytree(exports / "en-de" / "1", exports / "en-de" / "3")
    shutil.copytree(exports / "en-de" / "1", exports.parent / "alone")
    (exports.parent / "current").symlink_to(exports / "en-de" / "3")
    (exports / "en-de" / "4").symlink_to(exports.parent / "alone")
    for path, name, number in (
        (exports / "en-de" / "1", "en-de", 1),
        (exports / "en-de" / "3", "en-de", 3),
        (exports.parent / "current", "en-de", 3),
        (exports.parent / "alone", "alone", 1),
        (exports / "en-de", "en-de", 4),
        (exports, "en-de", 4),
    ):
        models = Models(path, Metrics())
        assert [(version.model, version.number) for version in models.all()] == [(name, number)], path


def test_a_new_export_is_loaded_within_seconds_while_others_warm_up(
    exports: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_over = threading.Event()
    models = Models(exports, Metrics())
    monkeypatch.setattr(Version, "warm_up", lambda version, _: version.model == "en-de" and is_over.wait(30))
    models.watch()
    shutil.copytree(exports / "en-de", exports / ".other")
    (exports / ".other").rename(exports / "other")
    wait_until(20, lambda: models.names() == ["en-de", "other"])  # before the 30 s of the other's warm-up
    is_over.set()
    models.stop()


def test_a_repeated_error_of_polling_is_printed_once(exports: Path, capfd: pytest.CaptureFixture[str]) -> None:
    models = Models(exports, Metrics())

    def fails() -> None:
        raise OSError("stale file handle")

    for _ in range(3):
        models._run_guarded(fails)
    assert capfd.readouterr().err.count("stale file handle") == 1


def test_paths_without_a_loadable_export_are_refused(tmp_path: Path, exports: Path) -> None:
    with pytest.raises(UserError, match="holds no export"):
        Models(tmp_path / "none", Metrics())
    (exports / "en-de" / "1" / "saved_model.pb").write_bytes(b"damaged")
    with pytest.raises(UserError, match="en-de: cannot load the export"):
        Models(exports, Metrics())
    (exports / "en-de" / "1" / "saved_model.pb").rename(exports / "en-de" / "1" / "model.bin")
    with pytest.raises(UserError, match="en-de: cannot load the export"):
        Models(exports, Metrics())
