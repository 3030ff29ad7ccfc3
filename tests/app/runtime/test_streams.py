"""Standard streams that are closed, the environment of other programs, and Ctrl-C while TensorFlow is imported."""

import argparse
import gzip
import lzma
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from keras_nmt.app import cli
from keras_nmt.app.runtime.tensorflow_start import import_tensorflow, sigint_ends_process

NMT = f"{sys.executable} -m keras_nmt"


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_closed_stream_is_not_an_error(tmp_path: Path, closed: str) -> None:
    (tmp_path / "text").write_text("A line.\n")
    done = run(f"{NMT} evaluate --hypothesis text --reference text --output kept {closed}", tmp_path)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert ("BLEU" in done.stdout) == (">&-" not in closed.replace("2>&-", ""))


def test_stdin_that_is_closed_is_empty(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("A line.\n")
    done = run(f"{NMT} evaluate --hypothesis - --reference text <&-", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("nmt evaluate: ")
    assert len(done.stderr.splitlines()) == 1


def test_variables_that_choose_another_keras_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    import_tensorflow()
    assert os.environ["KERAS_BACKEND"] == "tensorflow"
    assert "TF_USE_LEGACY_KERAS" not in os.environ


def test_ctrl_c_ends_the_process_during_the_import_and_raises_afterwards() -> None:
    before = signal.getsignal(signal.SIGINT)
    with sigint_ends_process():
        assert signal.getsignal(signal.SIGINT) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGINT) is before


def test_an_ignored_signal_stays_ignored_during_the_import() -> None:
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with sigint_ends_process():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_ctrl_c_while_the_program_is_imported_prints_no_traceback(tmp_path: Path) -> None:
    code = "import keras_nmt.__main__, os, signal; os.kill(os.getpid(), signal.SIGINT)"
    done = run(f'{sys.executable} -c "{code}"', tmp_path)
    assert done.returncode == 128 + signal.SIGINT
    assert not done.stderr


def test_output_is_utf8_in_any_locale(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("x\n")
    command = f"PYTHONIOENCODING=ascii {NMT} evaluate --hypothesis text --reference größe"
    done = run(command, tmp_path)
    assert done.stderr == "nmt evaluate: cannot read größe: there is no such file\n"


def test_a_name_that_is_not_utf8_is_read_written_and_escaped(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    (folder / "text").write_text("One two three four.\n")
    name = """"$(printf 'caf\\351')/"""
    done = run(f'{NMT} evaluate --hypothesis {name}text" --reference {name}text" --output {name}out"', tmp_path)
    assert done.stdout.startswith("BLEU 100.00"), done.stderr
    assert (folder / "out").is_file()
    done = run(f'{NMT} evaluate --hypothesis {name}none" --reference {name}text"', tmp_path)
    assert done.stderr == "nmt evaluate: cannot read caf\\udce9/none: there is no such file\n"


def test_a_name_that_must_be_utf8_and_is_not_is_reported(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for text in ("no/caf\udce9", 'a = 1\nwarm_start = "no/caf\udce9"\nb = 2\n'):
        arguments = argparse.Namespace(verb="train", run=lambda _, text=text: text.encode())
        monkeypatch.setattr(cli, "parsed", lambda _, arguments=arguments: arguments)
        assert cli.main([]) == 1
        said = capsys.readouterr().err
        assert said == "nmt train: no/caf\\xe9 is not UTF-8, which is required here; rename it\n"


def test_the_version_is_printed_without_importing_tensorflow(tmp_path: Path) -> None:
    done = run(f"{NMT} --version", tmp_path)
    assert re.fullmatch(r"nmt \S+ \(tensorflow 2\.\S+, keras 3\.\S+, .*; Python 3\.\S+\)\n", done.stdout)


def test_compressed_text_and_several_references_are_scored(tmp_path: Path) -> None:
    """A byte order mark is not part of the first line."""
    (tmp_path / "h").write_bytes(b"\xef\xbb\xbfone two three four\nfive\n")
    (tmp_path / "r1.gz").write_bytes(gzip.compress(b"one two three four\nsix\n"))
    (tmp_path / "r2.xz").write_bytes(lzma.compress(b"nothing\nfive\n"))
    done = run(f"{NMT} evaluate --hypothesis h --reference r1.gz r2.xz --tokenize none", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("BLEU 100.00  nrefs:2|case:mixed|eff:no|tok:none")
    (tmp_path / "cut.gz").write_bytes(gzip.compress(b"one two three four\n" * 99)[:-9])
    done = run(f"{NMT} evaluate --hypothesis h --reference cut.gz", tmp_path)
    assert done.stderr.startswith("nmt evaluate: cut.gz is damaged or cut short")
