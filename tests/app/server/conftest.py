"""Servers and exports that the tests share."""

import json
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import tensorflow as tf
from playwright.sync_api import Browser

from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.decoding.translation_graph import TranslationGraph
from keras_nmt.app.exporting.export import ExportedTranslation
from keras_nmt.app.models.export_layout import DESCRIPTION
from keras_nmt.app.server.engine.versions import Version
from tests.app.command_line import Done
from tests.app.conftest import once
from tests.app.decoding.fakes import CopyingTransformer, small_vocabulary
from tests.app.server.browser import chromium
from tests.app.server.serving import Running, serving
from tests.app.traced_once import exports_loaded_once


@pytest.fixture(scope="session", autouse=True)
def exports_are_loaded_once() -> Iterator[None]:
    """Caches loaded exports and skips the warm-up, which both take seconds. No test changes a loaded export."""
    with exports_loaded_once(), mock.patch.object(Version, "warm_up", return_value=None):
        yield


@pytest.fixture(scope="session")
def copies(road: Path) -> Path:
    """An export that returns each text."""

    def make() -> Done:
        save_copies(road / "copies" / "1")
        return Done(0, "", "")

    once(road, "copies", make)
    return road / "copies"


def save_copies(folder: Path) -> None:
    """Saves a version of an export that returns each text."""
    vocabulary = small_vocabulary()
    options = DecodingOptions(beam_size=3, max_source_tokens=64, max_extra_tokens=4)
    graph = TranslationGraph(CopyingTransformer(vocabulary.size), vocabulary, options)
    signatures = graph.signatures()
    tf.saved_model.save(ExportedTranslation(graph, signatures), str(folder), signatures=signatures)
    (folder / DESCRIPTION).parent.mkdir()
    (folder / DESCRIPTION).write_text(json.dumps({"pair": "en-de", "decoding": vars(options), "run": {}}))


@pytest.fixture(scope="session")
def two_exports(export: Path, multilingual_export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small export and a multilingual one, which both translate en-de."""
    folder = tmp_path_factory.mktemp("two")
    for name, of in (("one", export), ("several", multilingual_export)):
        (folder / name).symlink_to(of)
    return folder


@pytest.fixture(scope="session")
def copying_server(copies: Path) -> Iterator[Running]:
    """A server whose model returns each text."""
    with serving(copies) as running:
        yield running


@pytest.fixture(scope="session")
def server(export: Path) -> Iterator[Running]:
    """A server with the small export, named "export", and the default limits."""
    with serving(export) as running:
        yield running


@pytest.fixture(scope="module")  # while it runs, no other test can start asyncio
def browser() -> Iterator[Browser]:
    """Chromium, for the tests of a module."""
    with chromium() as started:
        yield started
