"""`nmt translate` with runs and exports: order of lines, n-best lists, search options, glossaries, alignments."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.app.command_line import Done, nmt, objects, succeeded

pytestmark = pytest.mark.usefixtures("traced_once")
ROOT = Path(__file__).resolve().parents[3]
LONG = " ".join(["word"] * 5000)
TEXT = ["Where is the station?", "", "I", LONG, "The dog sleeps.", "   ", "“Naïve”, said the 猫 🙂"]
INPUT = "".join(f"{line}\n" for line in TEXT).encode() + b"Gut\xffen Morgen"  # no line end at the end
LINES = len(TEXT) + 1

FRESH = """
import json, sys
import tensorflow as tf
import tensorflow_text
texts = json.load(sys.stdin)
loaded = tf.saved_model.load(sys.argv[1])
found = loaded.translate(texts)
ours = {"keras_nmt", "app", "layers", "pipelines"} & set(sys.modules)
print(json.dumps([[t.decode() for t in found["translations"].numpy()], found["scores"].numpy().tolist(), list(ours)]))
"""


@pytest.fixture(scope="module")
def text(road: Path) -> Path:
    (road / "text").write_bytes(INPUT)
    return road / "text"


@pytest.fixture(scope="module")
def translated(run: Path, text: Path) -> Done:
    return succeeded(nmt("translate", run, text, "--json"))


def process(*command: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *map(str, command)], input=given, capture_output=True, cwd=ROOT, check=False)


def test_every_line_has_a_translation_in_its_place(translated: Done) -> None:
    found = objects(translated)
    assert len(found) == LINES
    assert [line["score"] != 0 for line in found] == [True, False, True, True, True, False, True, True]
    assert found[1]["translation"] == found[5]["translation"] == ""
    scores = [line["score"] for line in found if line["score"]]
    assert len(set(scores)) == len(scores)  # so that the comparisons below detect another order


def test_a_line_that_is_not_utf8_is_reported_on_stderr(translated: Done, text: Path) -> None:
    assert f"{text}: 1 line(s) are not UTF-8, the first is line {LINES}; replaced invalid bytes" in translated.err


def test_a_long_line_is_split_and_not_truncated(translated: Done) -> None:
    pieces = 5000 / 16  # at least: a word has at least one token, and a piece at most 16
    assert len(objects(translated)[3]["translation"].split()) >= pieces


def test_an_export_translates_like_its_run(export: Path, text: Path, translated: Done) -> None:
    done = succeeded(nmt("translate", export, text, "--json"))
    for ours, theirs in zip(objects(done), objects(translated), strict=True):
        assert ours["translation"] == theirs["translation"]
        assert ours["score"] == pytest.approx(theirs["score"], rel=1e-5)


@pytest.mark.slow  # every `nmt export` checks its translations in such a process
def test_a_new_process_without_this_program_translates_like_the_run(export: Path, translated: Done) -> None:
    texts = [line.decode("utf-8", "replace") for line in INPUT.split(b"\n")]
    done = process("-I", "-W", "ignore", "-c", FRESH, export / "1", given=json.dumps(texts).encode())
    assert done.returncode == 0, done.stderr
    translations, scores, ours = json.loads(done.stdout.splitlines()[-1])
    assert ours == []
    assert translations == [line["translation"] for line in objects(translated)]
    assert scores == pytest.approx([line["score"] for line in objects(translated)], rel=1e-5)


@pytest.mark.slow  # continuous integration runs nmt translate in a pipe
def test_a_process_translates_stdin_and_prints_little_on_stderr(run: Path, translated: Done) -> None:
    done = process("-m", "keras_nmt", "translate", run, "-", "--scores", given=INPUT)
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.decode().removesuffix("\n").split("\n")]
    assert [text for text, _ in rows] == [line["translation"] for line in objects(translated)]
    expected = [line["score"] for line in objects(translated)]
    assert [float(score) for _, score in rows] == pytest.approx(expected, rel=1e-5)
    damaged = f"standard input: 1 line(s) are not UTF-8, the first is line {LINES}; replaced invalid bytes"
    said = done.stderr.decode().splitlines()
    assert said[0] == f"{run}: step 4"
    assert damaged in said
    assert len(said) <= 3  # the third is about the time


def test_stdin_is_read_if_no_file_is_given(export: Path, translated: Done) -> None:
    done = succeeded(nmt("translate", export, stdin=TEXT[4].encode() + b"\r\n\n" + TEXT[0].encode()))
    found = objects(translated)
    assert done.lines == [found[4]["translation"], "", found[0]["translation"]]
    assert succeeded(nmt("translate", export / "1", stdin=b"")).out == ""  # a version of an export is a model, too


def test_the_file_may_follow_the_options(run: Path, text: Path, translated: Done) -> None:
    assert succeeded(nmt("translate", run, "--json", text)).out == translated.out
    assert nmt("translate", run, "--json", text, text).code == 2


def test_n_best_lists_have_line_numbers_and_falling_scores(export: Path, translated: Done) -> None:
    given = f"{TEXT[0]}\n\n{TEXT[4]}\n".encode()
    done = succeeded(nmt("translate", export, "--n-best", "2", stdin=given))
    rows = [line.split(" ||| ") for line in done.lines]
    numbers = [int(number) for number, _, _ in rows]
    assert numbers == sorted(numbers)
    assert set(numbers) == {0, 1, 2}
    for number, line in ((0, 0), (2, 4)):
        best, second = ((text, float(score)) for n, text, score in rows if int(n) == number)
        alone = objects(translated)[line]  # the best, or the second if the best looks wrong
        assert dict([best, second])[alone["translation"]] == pytest.approx(alone["score"], rel=1e-5)
        assert second[0] != best[0]
        assert second[1] <= best[1]


def test_n_best_in_json_are_alternatives(export: Path, translated: Done) -> None:
    done = succeeded(nmt("translate", export, "--n-best", "2", "--json", stdin=TEXT[0].encode()))
    (found,) = objects(done)
    alone = objects(translated)[0]["translation"]  # the best, or the next if the best looks wrong
    assert alone in (found["translation"], found["alternatives"][0]["text"])
    assert [alternative.keys() - {"warnings"} for alternative in found["alternatives"]] == [
        {"text", "score", "confidence"}
    ]
    assert found["alternatives"][0]["score"] <= found["score"]


GREEDY = ("--beam-size", "1", "--length-penalty", "0", "--json")
WAYS: dict[str, tuple[str | Path, ...]] = {
    "sampling": ("--sample", "--n-best", "2", "--temperature", "0.7", "--top-k", "50", "--top-p", "0.9"),
    "alternatives": ("--prefix", Path("prefixes"), "--alternatives", "--n-best", "3"),
    "terms": ("--glossary", Path("terms.tsv")),
    "no token twice": ("--no-repeat-ngram-size", "1", "--repetition-penalty", "1.5"),
    "tokens": ("--json", "--token-scores"),
    "alignment": ("--alignment", "--json"),
    "greedy": GREEDY,
    "n-best": ("--n-best", "2"),
    "prefixes": ("--prefix", Path("prefixes"), "--max-length", "1"),
}


@pytest.fixture
def translate_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Returns a function that translates two sentences with some options; the second has no prefix and no terms."""
    monkeypatch.chdir(tmp_path)
    Path("prefixes").write_text("Es ist\n\n", encoding="utf-8")
    Path("terms.tsv").write_text("rains\tregnet\nstation\tBahnhof\n", encoding="utf-8")

    def translate(model: Path, way: str, *options: str) -> Done:
        return succeeded(nmt("translate", model, *WAYS[way], *options, stdin=b"It rains.\nWe are here.\n"))

    return translate


def test_samples_alternatives_and_terms_of_an_export(export: Path, translate_in: Callable[..., Done]) -> None:
    found = {
        way: translate_in(export, way) for way in ("sampling", "alternatives", "terms", "no token twice", "tokens")
    }
    assert translate_in(export, "sampling", "--seed", "1").out == found["sampling"].out
    assert translate_in(export, "sampling", "--seed", "2").out != found["sampling"].out
    alternatives = [line.split(" ||| ") for line in found["alternatives"].lines]
    assert [number for number, _, _ in alternatives] == ["0"] * 3 + ["1"] * 3
    assert all(text.startswith("Es ist") for number, text, _ in alternatives if number == "0")
    assert "regnet" in found["terms"].lines[0]
    assert "Bahnhof" not in found["terms"].out
    for line in objects(found["tokens"]):
        pieces, log_probabilities = zip(*line["tokens"], strict=True)
        assert pieces[-1] == "</s>"
        assert line["score"] == pytest.approx(sum(log_probabilities) / ((5 + len(pieces)) / 6) ** 2.0, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("way", WAYS)
def test_a_run_and_its_export_translate_alike_with_all_options(
    run: Path, export: Path, translate_in: Callable[..., Done], way: str
) -> None:
    assert translate_in(run, way).out == translate_in(export, way).out


def test_search_options_change_the_search(export: Path, translated: Done) -> None:
    (greedy,) = objects(succeeded(nmt("translate", export, *GREEDY, stdin=f"{TEXT[0]}\n".encode())))
    assert greedy["score"] < objects(translated)[0]["score"]  # a sum of log-probabilities, divided by nothing


def test_a_prefix_file_determines_how_each_translation_begins(export: Path, tmp_path: Path) -> None:
    (tmp_path / "prefixes").write_text("Es ist\n\n")
    given = b"It rains.\nIt rains.\n"
    for limit in ("0", "1"):
        options = ("--prefix", tmp_path / "prefixes", "--max-length", limit)
        found = succeeded(nmt("translate", export, *options, stdin=given)).lines
        assert found[0].startswith("Es ist")  # also if the limit is shorter than the prefix
    found = succeeded(nmt("translate", export, "--prefix", tmp_path / "prefixes", stdin=given)).lines
    assert found[1] == succeeded(nmt("translate", export, stdin=given)).lines[1]


def test_alignments_refer_to_words_of_both_sides(export: Path, translated: Done) -> None:
    given = f"{TEXT[0]}\n\n".encode()
    first, empty = succeeded(nmt("translate", export, "--alignment", stdin=given)).lines
    text, pairs = first.split(" ||| ")
    assert text == objects(translated)[0]["translation"]
    sources, targets = zip(*(map(int, pair.split("-")) for pair in pairs.split()), strict=True)
    assert set(sources) <= set(range(len(TEXT[0].split())))
    assert list(targets) == list(range(len(text.split())))
    assert empty == " ||| "
    (as_json,) = objects(succeeded(nmt("translate", export, "--alignment", "--json", stdin=TEXT[0].encode())))
    assert as_json["alignment"] == pairs
