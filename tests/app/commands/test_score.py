"""`nmt score`: scores of given translations, by one run, an export or an ensemble."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.app.command_line import nmt, objects, succeeded

pytestmark = pytest.mark.usefixtures("traced_once")


def test_given_translations_get_scores_and_token_scores(run: Path, export: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("It rains.\n\nWho?\n")
    (tmp_path / "target").write_text("Es regnet.\n\nWer?\n")
    files = ("--source", tmp_path / "source", "--target", tmp_path / "target")
    scores = [float(line) for line in succeeded(nmt("score", run, *files)).lines]
    assert scores[1] == 0 > scores[0]
    for found, score in zip(objects(succeeded(nmt("score", export, *files, "--json"))), scores, strict=True):
        assert found["score"] == pytest.approx(score, abs=2e-6)
        values = [token["log_probability"] for token in found["tokens"]]
        assert found["log_probability"] == pytest.approx(sum(values), abs=1e-4)
        assert "".join(token["piece"] for token in found["tokens"]) in ("▁Es▁regnet.</s>", "", "▁Wer?</s>")
    unpenalised = succeeded(nmt("score", export, *files, "--length-penalty", "0", "--json"))
    assert all(found["score"] == found["log_probability"] for found in objects(unpenalised))


def test_a_source_line_without_a_translation_is_reported(run: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("It rains.\nWho?\n")
    done = nmt("score", run, "--source", tmp_path / "source", "--target", "-", stdin=b"Es regnet.\n")
    assert done.code == 1
    assert done.complaints == [
        f"nmt score: - has 1 lines, {tmp_path / 'source'} has more; a source line needs one target line"
    ]


@pytest.mark.slow
def test_an_ensemble_translates_scores_and_is_exported(run: Path, tmp_path: Path) -> None:
    given = b"It rains.\nWe are here.\n"
    ensemble = ("--checkpoint", "last", "--ensemble", f"{run}:2")
    alone, together = (
        succeeded(nmt("translate", run, "--scores", *options, stdin=given)).lines for options in ((), ensemble)
    )
    assert [float(line.split("\t")[1]) for line in alone] != [float(line.split("\t")[1]) for line in together]
    exporting = nmt("export", run, *ensemble, "--out", tmp_path / "export", "--precision", "float32")
    assert succeeded(exporting).lines == [str(tmp_path / "export" / "1")]
    assert succeeded(nmt("translate", tmp_path / "export", "--scores", stdin=given)).lines == together
    (tmp_path / "target").write_text("Es regnet.\nWir sind hier.\n", encoding="utf-8")
    (tmp_path / "source").write_bytes(given)
    of_pair = ("--source", tmp_path / "source", "--target", tmp_path / "target", "--json")
    each = [
        [np.exp([token["log_probability"] for token in pair["tokens"]]) for pair in objects(succeeded(done))]
        for done in (
            nmt("score", run, "--checkpoint", "last", *of_pair),
            nmt("score", run, "--checkpoint", "2", *of_pair),
            nmt("score", run, *ensemble, *of_pair),
        )
    ]
    for first, second, both in zip(*each, strict=True):
        np.testing.assert_allclose(both, (first + second) / 2, rtol=1e-3)


def test_an_ensemble_needs_runs_with_one_vocabulary(run_copy: Path, run: Path, export: Path) -> None:
    manifest = json.loads((run_copy / "manifest.json").read_text())
    (run_copy / "manifest.json").write_text(json.dumps({**manifest, "vocabulary_digest": "0" * 64}))
    done = nmt("translate", run, "--ensemble", run_copy)
    assert done.code == 1
    assert f"{run_copy} has another vocabulary than {run}" in done.complaints[0]
    assert "--ensemble is for runs" in nmt("translate", export, "--ensemble", run).complaints[0]


@pytest.mark.parametrize(
    ("name", "before", "after"), [("word_token", "word_token = 0", "word_token = 9"), ("copying", "false", "true")]
)
def test_an_ensemble_needs_runs_with_one_word_token_and_one_way_of_copying(
    run_copy: Path, run: Path, name: str, before: str, after: str
) -> None:
    config = run_copy / "config.toml"
    before, after = (value if value.startswith(name) else f"{name} = {value}" for value in (before, after))
    config.write_text(config.read_text().replace(before, after))
    done = nmt("translate", run, "--ensemble", run_copy)
    assert done.code == 1
    assert f"{run_copy} has another {name} than {run}; only runs with the same one" in done.complaints[0]
