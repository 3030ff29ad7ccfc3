"""A trained run as a CTranslate2 model, through the command line."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.app.command_line import Done, nmt, succeeded

pytestmark = pytest.mark.usefixtures("traced_once")
TEXT = ["Where is the station?", "", "The dog sleeps. " * 9, "“Naïve”, said the 猫 🙂", " "]


@pytest.fixture(scope="module")
def float32(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(run, tmp_path_factory.mktemp("float32"))


@pytest.fixture(scope="module")
def int8(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(run, tmp_path_factory.mktemp("int8"), "--quantization", "int8")


def exported(run: Path, out: Path, *options: str) -> Path:
    done = succeeded(nmt("export", run, "--out", out, "--format", "ctranslate2", *options))
    assert done.lines == [str(out / "1")]
    return out


@pytest.fixture
def text(tmp_path: Path) -> Path:
    (tmp_path / "text").write_text("".join(f"{line}\n" for line in TEXT), encoding="utf-8")
    return tmp_path / "text"


def objects(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.lines]


def scored(model: Path, source: Path, target: Path) -> list[dict[str, Any]]:
    return objects(succeeded(nmt("score", model, "--source", source, "--target", target, "--json")))


def test_each_line_has_a_translation(float32: Path, text: Path) -> None:
    found = objects(succeeded(nmt("translate", float32, text, "--json")))
    assert len(found) == len(TEXT)
    assert [line["score"] for line in found if not line["translation"]] == [0.0, 0.0]
    (alone,) = objects(succeeded(nmt("translate", float32, "--json", stdin=TEXT[0].encode())))
    assert alone == found[0]


@pytest.mark.slow
def test_both_engines_agree_on_scores(float32: Path, int8: Path, run: Path, text: Path) -> None:
    ours = scored(run, text, text)
    for one, other in zip(ours, scored(float32, text, text), strict=True):
        assert one["tokens"] == [
            {**token, "log_probability": pytest.approx(token["log_probability"], abs=1e-3)} for token in other["tokens"]
        ]
    apart = [
        abs(one["score"] - other["score"]) / max(1, len(one["tokens"]))
        for one, other in zip(ours, scored(int8, text, text), strict=True)
    ]
    assert 1e-5 < max(apart) < 0.01  # a token: int8 differs, but only a little


@pytest.mark.slow
def test_a_run_can_be_translated_without_export_and_with_other_settings(float32: Path, run: Path, text: Path) -> None:
    search = ("--beam-size", "3", "--n-best", "2", "--length-penalty", "0.5")
    done = succeeded(nmt("translate", run, text, "--engine", "ctranslate2", *search))
    assert done.out == succeeded(nmt("translate", float32, text, *search)).out
    assert len(done.lines) == 2 * len(TEXT) - 2  # an empty line has one translation
    assert done.out != succeeded(nmt("translate", float32, text, "--n-best", "2")).out


def test_the_card_says_how_to_load_it(
    int8: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (int8 / "1" / "README.md").read_text(encoding="utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["tags"] == ["translation", "transformer", "ctranslate2"]
    assert "| precision | int8 matrices, the rest float32;" in card
    monkeypatch.chdir(int8 / "1")
    (python,) = re.findall(r"```python\n(.+?)```", card, re.DOTALL)
    exec(python, {})
    (translation,) = capsys.readouterr().out.splitlines()
    assert translation.strip()
    (text,) = re.findall(r'encode\(\["(.+)"\]', python)
    assert re.search(rf"^\| {re.escape(text)} \| .* \| -\d+\.\d{{4}} \|$", card, re.MULTILINE)


def test_this_engine_does_not_support_prefixes(float32: Path, text: Path) -> None:
    done = nmt("translate", float32, text, "--prefix", text)
    assert done.code == 1
    expected = "this engine does not support prefixes; translate with the run, or export it as a SavedModel"
    assert done.complaints == [f"nmt translate: {expected}"]


def test_a_damaged_export_is_refused(float32: Path, text: Path) -> None:
    vocabulary = float32 / "1" / "vocabulary.model"
    whole = vocabulary.read_bytes()
    vocabulary.write_bytes(b"damaged")
    try:
        done = nmt("translate", float32, text)
    finally:
        vocabulary.write_bytes(whole)
    assert done.code == 1
    assert done.complaints[0].startswith(f"nmt translate: cannot load the export {float32 / '1'}: ")
