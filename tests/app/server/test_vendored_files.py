"""Copies of other projects' files in the page."""

import hashlib
import re

from keras_nmt.app.server.http.application import PAGE

VENDOR = PAGE / "vendor"


def test_vendored_files_are_those_that_are_documented_and_have_a_licence() -> None:
    documented = dict(
        re.findall(r"^\| `(.+?)` .* ([0-9a-f]{64}) \|$", (VENDOR / "README.md").read_text(), re.MULTILINE)
    )
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}
    assert found == documented != {}
    for name in found:
        assert "copyright" in (VENDOR / f"{name.split('.')[0]}.LICENSE").read_text().lower()
