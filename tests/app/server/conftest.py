"""One server for all tests that do not change what it serves."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.app.server.serving import Running, serving


@pytest.fixture(scope="session")
def server(export: Path) -> Iterator[Running]:
    """Serves the small export, as "export", with no limits in the way."""
    with serving(export) as running:
        yield running
