"""Lines end only at line feeds, and any bytes can be read as text."""

import io
import sys
from pathlib import Path

import pytest

from keras_nmt.app.errors import UserError
from keras_nmt.app.runtime.text_files import check_readable, read_lines, stream_lines


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        (b"", []),
        (b"one", ["one"]),
        (b"one\n", ["one"]),
        (b"one\r\n\r\ntwo\r\n", ["one", "", "two"]),
        (b"\n\n", ["", ""]),
        ("a\u2028b\x0bc\x0cd\x85e\rf\n".encode(), ["a\u2028b\x0bc\x0cd\x85e\rf"]),
        (b"nul\x00byte\n", ["nul\x00byte"]),
    ],
)
def test_a_line_ends_at_a_line_feed_and_nowhere_else(tmp_path: Path, content: bytes, lines: list[str]) -> None:
    (tmp_path / "text").write_bytes(content)
    assert read_lines(tmp_path / "text") == lines


def test_invalid_utf8_is_replaced_and_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "text").write_bytes(b"good\nb\xffd\n\xc3\nM\xc3\xbcll\n")
    assert read_lines(tmp_path / "text") == ["good", "b\ufffdd", "\ufffd", "Müll"]
    said = f"{tmp_path / 'text'}: 2 line(s) are not UTF-8, the first is line 2; replaced invalid bytes\n"
    assert capsys.readouterr() == ("", said)


def test_a_hyphen_is_stdin_and_its_lines_are_yielded_as_they_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(b"one\ntwo\n"))
    monkeypatch.setattr(sys, "stdin", stdin)
    lines = stream_lines(Path("-"))
    assert next(lines) == "one"
    assert list(lines) == ["two"]


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read .*/none: no such file or directory"):
        read_lines(tmp_path / "none")
    with pytest.raises(UserError, match=r"cannot read .*/none: there is no such file"):
        check_readable(tmp_path / "none")
    with pytest.raises(UserError, match=r"cannot read .*: it is a folder"):
        check_readable(tmp_path)


def test_stdin_needs_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    check_readable(Path("-"))
    assert list(tmp_path.iterdir()) == []
