"""Names in UTF-8 for folders whose own are not."""

import os
from pathlib import Path

from app.runtime.utf8_names import in_utf8


def test_a_name_in_utf8_stays_as_it_is(tmp_path: Path) -> None:
    assert in_utf8(tmp_path / "größe") == str(tmp_path / "größe")
    assert not (tmp_path / "größe").exists()


def test_what_is_written_by_the_other_name_is_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9") / "run"
    other = in_utf8(folder)
    assert other.encode()
    (Path(other) / "file").write_text("text")
    assert (folder / "file").read_text() == "text"
    assert in_utf8(folder) == other
