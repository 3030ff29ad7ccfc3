"""Runs commands inside this process, where TensorFlow is already imported, and captures their output."""

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from keras_nmt.app.cli import main

SAMPLE = "sample:tatoeba-en-de"
TINY = (
    "model.model_width=32",
    "model.inner_width=64",
    "model.heads=2",
    "model.encoder_layers=1",
    "model.decoder_layers=1",
    "training.batch_tokens=1024",
    "training.max_length=64",
    "training.schedule=noam",
    "training.learning_rate=0.02",
    "training.warmup_steps=2",
    "training.precision=float32",
    "training.steps=4",
    "training.checkpoint_every=2",
    "training.dev_sentences=4",
    "decoding.beam_size=2",
    "decoding.length_penalty=2.0",
    "decoding.max_source_tokens=16",
    "decoding.max_extra_tokens=2",
)


@dataclass(frozen=True)
class Done:
    """The exit code and the output of a command."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """The lines on stdout; only line feeds end a line."""
        return self.out.removesuffix("\n").split("\n")

    @property
    def complaints(self) -> list[str]:
        """The error lines on stderr, which start with the name of the command."""
        return [line for line in self.err.split("\n") if line.startswith("nmt ")]


def nmt(*arguments: str | Path, stdin: bytes = b"") -> Done:
    """Runs `nmt` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    given = mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
    with redirect_stdout(out), redirect_stderr(err), given:
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as usage:
            code = int(usage.code or 0)
    return Done(code, out.getvalue(), err.getvalue())


def train_arguments(data: Path, out: Path, *settings: str, preset: str = "tiny") -> list[str]:
    """Returns arguments of `nmt train` for a model that trains in seconds; later settings win."""
    changes = [part for setting in (*TINY, *settings) for part in ("--set", setting)]
    return ["train", str(data), "--out", str(out), "--preset", preset, *changes]


def succeeded(done: Done) -> Done:
    """Asserts exit code 0, and returns the command's output."""
    assert done.code == 0, done.err
    return done


def objects(done: Done) -> list[dict[str, Any]]:
    """Parses each line on stdout as JSON."""
    return [json.loads(line) for line in done.lines]


def refusal(done: Done, verb: str) -> str:
    """Returns the only error line; asserts that stdout is empty and that there is no traceback."""
    assert done.code == 1, done.err
    assert done.out == ""
    assert "Traceback" not in done.err
    (line,) = done.complaints
    assert done.err.endswith(f"{line}\n")
    assert line.startswith(f"nmt {verb}: ")
    return line.removeprefix(f"nmt {verb}: ")


def tree(folder: Path) -> dict[str, bytes]:
    """Returns every file below a folder with its bytes, and every folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"folder"
        for path in sorted(folder.rglob("*"))
    }
