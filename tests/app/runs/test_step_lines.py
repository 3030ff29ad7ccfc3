"""Files with a JSON object a step are cut where training resumes, and an incomplete line is ignored."""

import os
from pathlib import Path

import pytest

from keras_nmt.app.runs import step_lines


@pytest.mark.parametrize(
    ("last", "kept"),
    [(0, ""), (1, '{"step": 1}\n'), (2, '{"step": 1}\n{"step": 2}\n'), (9, '{"step": 1}\n{"step": 2}\n{"step": 3}\n')],
)
@pytest.mark.parametrize("rest", ['{"st', '{"step": 4}', "\n", ""], ids=["broken", "no line end", "empty", "none"])
def test_steps_after_the_last_one_are_cut(tmp_path: Path, last: int, kept: str, rest: str) -> None:
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n' + rest)
    assert [line["step"] for line in step_lines.read(file)] == [1, 2, 3]
    step_lines.cut_after(file, last)
    assert file.read_text() == kept
    step_lines.append(file, {"step": 10, "loss": 0.1})
    assert file.read_text() == kept + '{"step": 10, "loss": 0.1}\n'


def test_a_missing_file_is_empty_and_is_not_created(tmp_path: Path) -> None:
    step_lines.cut_after(tmp_path / "none", 3)
    assert step_lines.read(tmp_path / "none") == []
    assert list(tmp_path.iterdir()) == []


def test_lines_are_flushed_to_disk_by_sync(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    step_lines.append(tmp_path / "metrics.jsonl", {"step": 1})
    step_lines.sync(tmp_path / "metrics.jsonl")
    assert synced == [(tmp_path / "metrics.jsonl").stat().st_ino]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no disk that is always full")
def test_a_full_disk_is_reported_with_the_files_name(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(OSError, match=r"No space left on device: '.*/metrics.jsonl'"):
        step_lines.append(tmp_path / "metrics.jsonl", {"step": 1})
