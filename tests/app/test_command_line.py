"""All steps by the command line: from text to data, a run, scores, translations and a SavedModel."""

import json
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from app.cli import VERBS, build_parser
from app.runs import directory as run_directory
from app.runs.choice import choose
from tests.app.command_line import TINY, Done, nmt, succeeded, train_arguments

pytestmark = pytest.mark.usefixtures("traced_once")
ROOT = Path(__file__).resolve().parents[2]
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
ours = {"app", "layers", "pipelines"} & set(sys.modules)
print(json.dumps([[t.decode() for t in found["translations"].numpy()], found["scores"].numpy().tolist(), list(ours)]))
"""


@pytest.fixture(scope="module")
def text(road: Path) -> Path:
    (road / "text").write_bytes(INPUT)
    return road / "text"


@pytest.fixture(scope="module")
def translated(run: Path, text: Path) -> Done:
    return succeeded(nmt("translate", run, text, "--json"))


def objects(done: Done) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.lines]


def steps_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def process(*command: str | Path, given: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run([sys.executable, *map(str, command)], input=given, capture_output=True, cwd=ROOT, check=False)


# prepare, train, average, evaluate


def test_results_go_to_stdout_and_everything_else_to_stderr(
    road: Path, preparing: Done, training: Done, exporting: Done
) -> None:
    run = road / "run"
    assert preparing.lines == [str(road / "data")]
    assert "train: kept 600 of 60" in preparing.err
    assert training.lines == [str(run)]
    assert "598 training pairs, 2 longer than 64 tokens" in training.err
    assert exporting.lines == [str(road / "export" / "1")]
    assert exporting.err == f"{run}: step 4\n"


def test_a_run_records_what_it_was_made_from(data: Path, run: Path) -> None:
    manifest, of_data = (json.loads((folder / "manifest.json").read_text()) for folder in (run, data))
    assert manifest["pair"] == {"source": "en", "target": "de"}
    assert manifest["seed"] == 1
    assert manifest["vocabulary_digest"] == of_data["vocabulary"]["digest"]
    assert manifest["data"]["train"] == [shard["sha256"] for shard in of_data["splits"]["train"]["shards"]]
    assert set(manifest["versions"]) == set(run_directory.PACKAGES)
    assert manifest["versions"]["tensorflow"] == tf.__version__


def test_each_step_is_logged_once_with_its_figures(run: Path) -> None:
    logged = steps_of(run / "metrics.jsonl")
    assert [line["step"] for line in logged] == [1, 2, 3, 4]
    for line in logged:
        assert line.keys() == {
            *("step", "loss", "cross_entropy", "accuracy", "gradient_norm", "learning_rate"),
            *("source_tokens", "target_tokens", "padding_share", "skipped", "seconds"),
        }
        assert 0 < line["target_tokens"] <= 1024
        assert line["loss"] == pytest.approx(np.log(504), rel=0.2)
    evaluated = steps_of(run / "dev.jsonl")
    assert [line.keys() for line in evaluated] == [{"step", "dev_loss", "dev_perplexity", "dev_bleu"}] * 2
    assert [line["step"] for line in evaluated] == [2, 4]


def test_the_same_command_resumes_as_if_it_had_not_stopped(data: Path, run: Path, run_copy: Path) -> None:
    succeeded(nmt("average", run_copy, "--last", "2"))
    shutil.rmtree(run_copy / "checkpoints" / "step-00000004")  # it stopped after step 2, steps 3 and 4 logged
    changed = ("steps=6", "keep_checkpoints=2", "checkpoint_every=1", "dev_sentences=0", "keep_best=0")
    done = succeeded(nmt(*train_arguments(data, run_copy, *(f"training.{change}" for change in changed))))
    assert "resuming from step 2 of 6" in done.err
    logged = steps_of(run_copy / "metrics.jsonl")
    assert [line["step"] for line in logged] == [1, 2, 3, 4, 5, 6]
    for again, before in zip(logged[2:4], steps_of(run / "metrics.jsonl")[2:], strict=True):
        assert again["loss"] == pytest.approx(before["loss"], abs=1e-5)
        assert again["gradient_norm"] == pytest.approx(before["gradient_norm"], rel=1e-4)
        assert again["target_tokens"] == before["target_tokens"]
    assert [(line["step"], "dev_bleu" in line) for line in steps_of(run_copy / "dev.jsonl")] == [
        *((2, True), (3, False), (4, False), (5, False), (6, False))
    ]
    opened = run_directory.RunDirectory.open(run_copy)
    assert [step for step, _ in opened.checkpoints.steps()] == [5, 6]  # 2, the best, was not to be kept
    assert choose(opened).step == 6  # newer than the average of 2 and 4


def test_a_finished_run_is_left_alone(data: Path, run_copy: Path) -> None:
    before = (run_copy / "metrics.jsonl").read_bytes()
    done = succeeded(nmt(*train_arguments(data, run_copy)))
    assert "already trained to step 4; raise training.steps to continue" in done.err
    assert (run_copy / "metrics.jsonl").read_bytes() == before


def test_an_averaged_run_is_scored_with_its_average(run_copy: Path, tmp_path: Path) -> None:
    averaged = succeeded(nmt("average", run_copy, "--last", "2"))
    assert averaged.lines == [str(run_copy / "checkpoints" / "average")]
    (tmp_path / "source").write_text("It rains.\nWho?\n\n")
    (tmp_path / "reference").write_text("Es regnet.\nWer?\n\n")
    files = ("--source", tmp_path / "source", "--reference", tmp_path / "reference")
    done = succeeded(nmt("evaluate", run_copy, *files, "--output", tmp_path / "translation", "--json"))
    assert f"{run_copy}: average of 2 checkpoints\n" in done.err
    scores = json.loads(done.out)
    assert scores.keys() == {"bleu", "chrf", "ter", "signatures"}
    assert scores["signatures"].keys() == {"bleu", "chrf", "ter"}
    translation = (tmp_path / "translation").read_text().split("\n")[:-1]
    assert scores["chrf"] == sacrebleu.corpus_chrf(translation, [["Es regnet.", "Wer?", ""]]).score
    opened = run_directory.RunDirectory.open(run_copy)
    (kept,) = opened.evaluations(choose(opened))
    assert (kept["text"], kept["sentences"], kept["decoding"]["beam_size"]) == ("reference", 3, 2)
    assert {name: kept[name] for name in scores} == scores
    again = nmt("evaluate", "--hypothesis", tmp_path / "translation", *files, "--pair", "en-de", "--json")
    assert json.loads(succeeded(again).out) == scores


def test_a_file_is_scored_against_a_bundled_test_set(tmp_path: Path) -> None:
    from app.evaluation import test_set

    _, references = test_set("sample:tatoeba-en-de", "en-de")
    (tmp_path / "hypothesis").write_text("".join(f"{line}\n" for line in references), encoding="utf-8")
    chosen = ("--test-set", "sample:tatoeba-en-de", "--pair", "en-de")
    done = succeeded(nmt("evaluate", "--hypothesis", tmp_path / "hypothesis", *chosen))
    assert [line.split()[:2] for line in done.lines] == [["BLEU", "100.00"], ["chrF", "100.00"], ["TER", "0.00"]]
    assert done.err == ""


# translate


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


def test_a_process_translates_stdin_and_prints_little_on_stderr(run: Path, translated: Done) -> None:
    done = process("-m", "app", "translate", run, "-", "--scores", given=INPUT)
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


def test_n_best_lists_have_line_numbers_and_falling_scores(run: Path, translated: Done) -> None:
    given = f"{TEXT[0]}\n\n{TEXT[4]}\n".encode()
    done = succeeded(nmt("translate", run, "--n-best", "2", stdin=given))
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


WAYS: dict[str, tuple[str | Path, ...]] = {
    "sampling": ("--sample", "--n-best", "2", "--temperature", "0.7", "--top-k", "50", "--top-p", "0.9"),
    "alternatives": ("--prefix", Path("prefixes"), "--alternatives", "--n-best", "3"),
    "terms": ("--glossary", Path("terms.tsv")),
    "no token twice": ("--no-repeat-ngram-size", "1", "--repetition-penalty", "1.5"),
    "tokens": ("--json", "--token-scores"),
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
    found = {way: translate_in(export, way) for way in WAYS}
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


def test_terms_of_a_glossary_appear_in_a_runs_translations(run: Path, translate_in: Callable[..., Done]) -> None:
    assert "regnet" in translate_in(run, "terms").lines[0]


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


@pytest.mark.slow
def test_an_export_in_bfloat16_is_half_as_large_and_nearly_the_same(export: Path, run: Path, tmp_path: Path) -> None:
    half = tmp_path / "half"
    assert succeeded(nmt("export", run, "--out", half, "--precision", "bfloat16")).lines == [str(half / "1")]
    sizes, facts = (
        [read(out / "1") for out in (half, export)]
        for read in (
            lambda version: sum(file.stat().st_size for file in (version / "variables").iterdir()),
            lambda version: json.loads((version / "assets.extra" / "nmt.json").read_text())["precision"],
        )
    )
    assert sizes[0] < 0.6 * sizes[1]
    assert facts == ["bfloat16", "float32"]
    stored = (json.loads((out / "1/assets.extra/golden_translations.json").read_text()) for out in (half, export))
    assert [golden["score_tolerance"] for golden in stored] == [1e-2, 1e-4]
    pair = tmp_path / "pair"
    pair.write_text("The dog sleeps.\n")
    scores = [float(nmt("score", out, "--source", pair, "--target", pair).out) for out in (half, export)]
    assert scores[0] != scores[1]
    assert scores[0] == pytest.approx(scores[1], rel=0.02)


# score


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
    unpenalised = succeeded(nmt("score", run, *files, "--length-penalty", "0", "--json"))
    assert all(found["score"] == found["log_probability"] for found in objects(unpenalised))


def test_a_source_line_without_a_translation_is_reported(run: Path, tmp_path: Path) -> None:
    (tmp_path / "source").write_text("It rains.\nWho?\n")
    done = nmt("score", run, "--source", tmp_path / "source", "--target", "-", stdin=b"Es regnet.\n")
    assert done.code == 1
    assert done.complaints == [
        f"nmt score: - has 1 lines, {tmp_path / 'source'} has more; a source line needs one target line"
    ]


def test_search_options_change_the_search(run: Path, export: Path, translated: Done) -> None:
    search = ("--beam-size", "1", "--length-penalty", "0", "--json")
    (greedy,) = objects(succeeded(nmt("translate", run, *search, stdin=f"{TEXT[0]}\n".encode())))
    assert greedy["score"] < objects(translated)[0]["score"]  # a sum of log-probabilities, divided by nothing
    (of_export,) = objects(succeeded(nmt("translate", export, *search, stdin=f"{TEXT[0]}\n".encode())))
    assert of_export["translation"] == greedy["translation"]
    assert of_export["score"] == pytest.approx(greedy["score"], rel=1e-5)


def test_a_prefix_file_determines_how_each_translation_begins(run: Path, export: Path, tmp_path: Path) -> None:
    (tmp_path / "prefixes").write_text("Es ist\n\n")
    given = b"It rains.\nIt rains.\n"
    for model in (run, export):
        found = succeeded(nmt("translate", model, "--prefix", tmp_path / "prefixes", stdin=given)).lines
        assert found[0].startswith("Es ist")
    assert found[1] == succeeded(nmt("translate", export, stdin=given)).lines[1]


def test_alignments_refer_to_words_of_both_sides(run: Path, export: Path, translated: Done) -> None:
    given = f"{TEXT[0]}\n\n".encode()
    (first, empty), (of_export, _) = (
        succeeded(nmt("translate", model, "--alignment", stdin=given)).lines for model in (run, export)
    )
    text, pairs = first.split(" ||| ")
    assert text == objects(translated)[0]["translation"]
    sources, targets = zip(*(map(int, pair.split("-")) for pair in pairs.split()), strict=True)
    assert set(sources) <= set(range(len(TEXT[0].split())))
    assert list(targets) == list(range(len(text.split())))
    assert empty == " ||| "
    assert of_export == first
    (as_json,) = objects(succeeded(nmt("translate", run, "--alignment", "--json", stdin=TEXT[0].encode())))
    assert as_json["alignment"] == pairs


# The command line itself


def test_help_has_an_example_and_does_not_import_tensorflow() -> None:
    code = """
import sys
from app.cli import VERBS, main
for arguments in (["--help"], *([verb, "--help"] for verb in VERBS)):
    try:
        main(arguments)
    except SystemExit as done:
        print("exit", done.code)
print(sorted({"tensorflow", "keras", "numpy", "sacrebleu"} & set(sys.modules)))
"""
    done = process("-c", code)
    assert done.stderr == b""
    *helps, imported = done.stdout.decode().strip().rsplit("\n", 1)
    answers = helps[0].split("exit 0")
    assert len(answers) == len(VERBS) + 2
    assert all("example: nmt" in answer or "| nmt" in answer for answer in answers[:-1])
    assert imported == "[]"


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_of_each_verb_can_be_parsed(verb: str) -> None:
    verbs = next(action for action in build_parser()._actions if action.dest == "verb")
    assert isinstance(verbs.choices, dict)
    epilog = verbs.choices[verb].epilog
    label, _, example = epilog.partition("example: ")
    assert label == ""
    words = shlex.split(example.rpartition("| ")[2])
    assert words[:2] == ["nmt", verb]
    assert build_parser().parse_args(words[1:]).verb == verb


def test_a_closed_output_pipe_ends_the_program_quietly(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one line of text\n")
    command = ["-m", "app", "evaluate", "--hypothesis", tmp_path / "text", "--reference", tmp_path / "text"]
    with subprocess.Popen(
        [sys.executable, *map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        running.stdout.close()
        complaint = running.stderr.read()
    assert (running.returncode, complaint) == (1, b"")


def test_the_settings_of_these_tests_equal_those_of_the_run(run: Path) -> None:
    sections = run_directory.RunDirectory.open(run).configuration.as_sections()
    for setting in TINY:
        section, _, rest = setting.partition(".")
        key, _, value = rest.partition("=")
        assert str(sections[section][key]) == value
