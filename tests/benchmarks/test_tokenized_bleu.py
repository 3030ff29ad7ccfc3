"""BLEU as in papers before sacreBLEU."""

import json
import sys
from pathlib import Path

import pytest

REFERENCES = ["Ein Mann geht mit dem Hund, den er liebt.", "Zwei Frauen sehen sich das Haus an."]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("hypotheses", "bleu"),
    [
        (REFERENCES, 100.0),
        ([line.upper() for line in REFERENCES], 100.0),
        # 18 of 19 tokens, 15 of 17 pairs, 12 of 15 triples, 9 of 13 runs of four
        ([REFERENCES[0], "Zwei Frauen sehen sich ein Haus an."], 100 * (18 / 19 * 15 / 17 * 12 / 15 * 9 / 13) ** 0.25),
    ],
)
def test_tokens_are_those_of_moses_and_case_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], hypotheses, bleu
):
    pytest.importorskip("sacremoses")
    from benchmarks import tokenized_bleu

    files = {"--hypothesis": hypotheses, "--reference": REFERENCES}
    for name, lines in files.items():
        (tmp_path / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    arguments = [part for name in files for part in (name, str(tmp_path / name))]
    monkeypatch.setattr(sys, "argv", ["tokenized_bleu", "--language", "de", *arguments])
    tokenized_bleu.main()
    assert json.loads(capsys.readouterr().out)["bleu"] == pytest.approx(bleu)
