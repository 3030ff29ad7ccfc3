"""UTF-8 names for folders with other names."""

import os
from pathlib import Path

from keras_nmt.app.runtime.utf8_names import in_utf8


def test_a_utf8_name_is_returned_unchanged(tmp_path: Path) -> None:
    assert in_utf8(tmp_path / "größe") == str(tmp_path / "größe")
    assert not (tmp_path / "größe").exists()


def test_files_written_under_the_other_name_are_in_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9") / "run"
    other = in_utf8(folder)
    assert other.encode()
    (Path(other) / "file").write_text("text")
    assert (folder / "file").read_text() == "text"
    assert in_utf8(folder) == other
