"""The benchmark of a language model: its figures, and how a training is watched."""

import gzip
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import language_model
from benchmarks.language_model import OURS, PEER, Training


def training(program: str, number: int, user: float, loss: float) -> Training:
    return Training(program, number, 2 * user, user, 1.0, 12_345, 0.5, loss, loss - 0.1)


RESULTS = [
    training(OURS, 0, 99.0, 1.80),
    training(PEER, 0, 199.0, 1.88),
    training(PEER, 1, 99.0, 1.89),
    training(OURS, 1, 149.0, 1.82),
    training(OURS, 2, 79.0, 1.81),
]


def test_the_ratio_is_the_median_of_the_rounds_with_both_programs() -> None:
    found = language_model.summary(RESULTS)
    assert found[OURS] == {"cpu_seconds": 100.0, "wall_seconds": 198.0, "block_loss": 1.81, "sliding_loss": 1.71}
    assert found[PEER]["cpu_seconds"] == 150.0
    assert found["cpu_ratio_to_peer"] == 1.0  # of 0.5 and 1.5
    assert "cpu_ratio_to_peer" not in language_model.summary(RESULTS[:1])


def test_the_table_has_a_line_for_each_training() -> None:
    lines = list(language_model.table(RESULTS))
    assert len(lines) == 2 + len(RESULTS)
    assert lines[3] == "| 1 | nanoGPT | 398.0 | 199.0 | 1.0 | 12,345 | 0.50 | 1.8800 | 1.7800 |"


def test_the_last_tenth_of_the_text_is_the_validation_text(tmp_path: Path) -> None:
    text = "é\n" * 50
    (tmp_path / "text.gz").write_bytes(gzip.compress(text.encode()))
    language_model.write_splits(tmp_path / "text.gz", tmp_path)
    assert (tmp_path / "train.txt").read_text(encoding="utf-8") == text[:90]
    assert (tmp_path / "validation.txt").read_text(encoding="utf-8") == text[90:]


def test_the_time_and_page_faults_of_a_process_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    work = "import time; time.sleep(0.2); end = time.process_time() + 0.2\nwhile time.process_time() < end: pass"
    found = language_model.watched([sys.executable, "-c", work])
    assert found["wall_seconds"] > 0.3
    assert found["user_seconds"] + found["kernel_seconds"] > 0.15
    assert found["page_faults"] > 100
    with pytest.raises(subprocess.CalledProcessError):
        language_model.watched([sys.executable, "-c", "raise SystemExit('no data')"])
    assert "no data" in capsys.readouterr().err
