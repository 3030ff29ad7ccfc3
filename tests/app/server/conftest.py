"""One server for all tests that do not change what it serves."""

import functools
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import tensorflow as tf

from app.server.versions import Version
from tests.app.server.serving import Running, serving


@pytest.fixture(scope="session", autouse=True)
def exports_are_loaded_once() -> Iterator[None]:
    """Loading and warming up take seconds, and nothing here changes an export that was loaded."""
    loads = mock.patch.object(tf.saved_model, "load", functools.cache(tf.saved_model.load))
    with loads, mock.patch.object(Version, "warm_up", lambda version, names: None):
        yield


@pytest.fixture(scope="session")
def server(export: Path) -> Iterator[Running]:
    """Serves the small export, as "export", with no limits in the way."""
    with serving(export) as running:
        yield running
