"""The benchmark of the filters: the share of good translations that each drops."""

import json
import sys
from pathlib import Path

import pytest

from benchmarks.filters import language_of, main, shares_dropped, worst_shares

SOURCE = ["Chapter 3 is about the king and his many wives.", "He left the town at night.", "Who was he?", "It was 5."]
TARGET = [
    "Kapitel 4 handelt vom König und seinen Frauen.",
    "Er verließ die Stadt bei Nacht.",
    "Wer war er?",
    "Es war 5.",
]


def test_shares_are_measured_for_aligned_and_misaligned_pairs() -> None:
    found = shares_dropped(SOURCE, TARGET, ("en", "de"))
    assert found.by_filter == {"numbers": 0.25}
    assert (found.language, found.dropped, found.misaligned_dropped) == ("de", 0.25, 0.25)
    assert worst_shares([found]) == [(0.25, "numbers", "de")]


def test_lines_without_text_are_ignored() -> None:
    assert shares_dropped([*SOURCE, "", "x"], [*TARGET, "y", " "], ("en", "de")).by_filter == {"numbers": 0.25}


@pytest.mark.parametrize(("name", "language"), [
    ("de.txt", "de"),
    ("newstest2019-ref.deu.txt", "deu"),
    ("newstest2019-ref.srp-Latn.txt", "srp-Latn"),
    ("deu_Latn.devtest", "deu_Latn"),
    ("README.md", None),
    ("LICENSE.txt", None),
])  # fmt: skip
def test_the_language_is_read_from_the_file_name(name: str, language: str | None) -> None:
    assert language_of(Path(name)) == language


def test_a_folder_of_references_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, lines in (("en.txt", SOURCE), ("de.txt", TARGET), ("fr.txt", ["one line"]), ("notes", ["x"] * 4)):
        (tmp_path / name).write_text("\n".join(lines) + "\n")
    monkeypatch.setattr(sys, "argv", ["filters", "--source", str(tmp_path / "en.txt"), "--references", str(tmp_path)])
    main()
    printed = capsys.readouterr()
    assert json.loads(printed.out) == {
        "languages": 1,
        "worst": ["0.2500 numbers de.txt"],
        "over_the_bar": 1,
        "dropped": 0.25,
        "misaligned_dropped": 0.25,
    }
    assert printed.err.splitlines()[1].split() == ["de.txt", "25.00", "25.00", "25.00"]
