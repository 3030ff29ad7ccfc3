"""Several language pairs and domains in one model, from training to export, by the command line."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from keras_nmt.app.models.exports import ExportModel
from keras_nmt.app.runs.directory import RunDirectory
from tests.app.command_line import Done, nmt, succeeded, train_arguments
from tests.app.multilingual import DEV, LANGUAGES, LOUD, WORDS, texts

pytestmark = pytest.mark.usefixtures("traced_once")
SOURCE = b"a b c\n\nd e a b\n"


def lines(done: Done) -> list[str]:
    return succeeded(done).lines


def language_of(text: str) -> str:
    """Returns the language to which all words belong."""
    (language,) = [name for name, words in {**WORDS, "loud": LOUD}.items() if text and set(text.split()) <= set(words)]
    return language


def test_a_run_and_its_export_know_the_pairs_and_the_domains(multilingual_run: Path, multilingual_export: Path) -> None:
    assert RunDirectory.open(multilingual_run).languages == LANGUAGES
    assert ExportModel(multilingual_export / "1", {}).languages == LANGUAGES


def test_the_dev_set_has_its_own_tags(multilingual_run: Path) -> None:
    (result,) = RunDirectory.open(multilingual_run).dev_results().values()
    assert result["dev_bleu"] > 40
    assert result["dev_bleu_de"] > 40
    assert result["dev_bleu_fr"] > 40


@pytest.mark.parametrize("model", ["multilingual_run", "multilingual_export"])
def test_one_model_translates_into_the_language_of_the_option(model: str, request: pytest.FixtureRequest) -> None:
    path = request.getfixturevalue(model)
    for options, expected in ((("de",), "de"), (("fr",), "fr"), (("fr", "--domain", "loud"), "loud")):
        first, empty, last = lines(nmt("translate", path, "--to", *options, stdin=SOURCE))
        assert (language_of(first), empty, language_of(last)) == (expected, "", expected)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "there are several target languages: de, fr; choose one with --to"),
        (("--to", "es"), "there is no translation into 'es'; there are: de, fr"),
        (("--to", "de", "--domain", "law"), "there is no domain 'law'; there is: loud"),
    ],
)
@pytest.mark.parametrize("command", ["translate", "score", "evaluate"])
def test_an_unknown_language_or_domain_is_refused(
    multilingual_run: Path, tmp_path: Path, command: str, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "text").write_bytes(SOURCE)
    text = str(tmp_path / "text")
    files = {
        "translate": [text],
        "score": ["--source", text, "--target", text],
        "evaluate": ["--source", text, "--reference", text],
    }
    done = nmt(command, multilingual_run, *files[command], *arguments)
    assert (done.code, done.complaints) == (1, [f"nmt {command}: {message}"])


def test_a_model_of_one_pair_needs_no_language_and_accepts_its_own(run: Path) -> None:
    plain = lines(nmt("translate", run, stdin=b"It rains.\n"))
    assert lines(nmt("translate", run, "--to", "de", stdin=b"It rains.\n")) == plain
    done = nmt("translate", run, "--to", "fr", stdin=b"It rains.\n")
    assert done.complaints == ["nmt translate: there is no translation into 'fr'; there is: de"]


def test_a_tag_in_the_input_is_treated_as_text(multilingual_run: Path) -> None:
    (found,) = lines(nmt("translate", multilingual_run, "--to", "fr", stdin=b"<2de> a b c\n"))
    assert not set(WORDS["de"]) & set(found)
    assert set(WORDS["fr"]) & set(found)


def test_a_long_line_is_translated_into_one_language(multilingual_run: Path) -> None:
    text = b"a b c d " * 8 + b"\n"
    (found,) = lines(nmt("translate", multilingual_run, "--to", "fr", stdin=text))
    assert language_of(found) == "fr"
    assert len(found.split()) > 16  # the most tokens of a piece


def test_scores_depend_on_the_language(multilingual_run: Path, tmp_path: Path) -> None:
    (tmp_path / "en").write_text("a b c\n")
    (translated,) = lines(nmt("translate", multilingual_run, "--to", "de", "--scores", tmp_path / "en"))
    text, _, score = translated.partition("\t")
    (tmp_path / "de").write_text(f"{text}\n")
    files = ("--source", tmp_path / "en", "--target", tmp_path / "de")
    german, french = (float(nmt("score", multilingual_run, *files, "--to", to).out) for to in ("de", "fr"))
    assert german == pytest.approx(float(score), abs=1e-4)
    assert french < german - 1


def test_alignments_count_words_without_tags(multilingual_run: Path) -> None:
    options = ("--to", "fr", "--domain", "loud", "--alignment")
    (found,) = lines(nmt("translate", multilingual_run, *options, stdin=b"a b c\n"))
    text, _, alignment = found.partition(" ||| ")
    pairs = [pair.split("-") for pair in alignment.split()]
    assert {source for source, _ in pairs} <= {"0", "1", "2"}
    assert [target for _, target in pairs] == [str(i) for i in range(len(text.split()))]


def test_each_language_is_evaluated_separately(multilingual_run: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(multilingual_run, tmp_path / "run"))
    rows = [texts(numbers, "fr", None) for numbers, _, _ in DEV]
    (tmp_path / "test.en").write_text("".join(f"{LANGUAGES.split(source)[1]}\n" for source, _ in rows))
    (tmp_path / "test.fr").write_text("".join(f"{target}\n" for _, target in rows))
    files = ("--source", tmp_path / "test.en", "--reference", tmp_path / "test.fr", "--json")
    french, german = (json.loads(nmt("evaluate", run, *files, "--to", to).out) for to in ("fr", "de"))
    assert french["chrf"] > 40 > german["chrf"]
    assert json.loads(nmt("evaluate", run, *files, "--pair", "en-fr").out) == french
    kept = [line["text"] for line in map(json.loads, (run / "evaluations.jsonl").read_text().splitlines())]
    assert kept == ["test.fr into fr", "test.fr into de", "test.fr into fr"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--pair", "en-es"), "translates en-de, en-fr; choose one of them"),
        (("--pair", "en-fr", "--to", "de"), "--pair is en-fr, but --to is de; leave one of them out"),
    ],
)
def test_a_pair_to_evaluate_must_be_one_of_the_models_pairs(
    multilingual_run: Path, tmp_path: Path, arguments: tuple[str, ...], message: str
) -> None:
    (tmp_path / "text").write_bytes(SOURCE)
    files = ("--source", tmp_path / "text", "--reference", tmp_path / "text")
    done = nmt("evaluate", multilingual_run, *files, *arguments)
    assert done.code == 1
    assert message in done.complaints[0]


def test_to_and_domain_are_refused_without_a_model(tmp_path: Path) -> None:
    (tmp_path / "text").write_bytes(SOURCE)
    files = ("--hypothesis", tmp_path / "text", "--reference", tmp_path / "text")
    done = nmt("evaluate", *files, "--to", "fr")
    assert done.complaints == [
        "nmt evaluate: --to and --domain are for a MODEL; give --pair for the language of a --hypothesis"
    ]


def test_the_model_card_lists_the_tags(multilingual_export: Path) -> None:
    _, front, body = (multilingual_export / "1" / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    assert yaml.safe_load(front)["language"] == ["en", "de", "fr"]
    assert "# Translation from en to de and fr\n" in body
    assert "| languages | `en` to `de`, `en` to `fr` |" in body
    assert (
        "Each text begins with the tag of the target language: `<2de>` or `<2fr>`. The tag of its domain may follow: "
        "`<loud>`. For example: `<2fr> <loud> …`."
    ) in body
    assert r"| \<2de\> a b d c | " in body
    assert "sacreBLEU on 4 sentences spread over it" in body
    assert "| step | BLEU | BLEU de | BLEU fr | loss | perplexity |" in body


@pytest.mark.slow  # two trainings; a default test covers weights in a step
def test_a_corpus_with_a_larger_loss_weight_counts_more(tmp_path: Path) -> None:
    for name, words in (("one", "Yes and no"), ("other", "Now or so"), ("dev", "In or on")):
        rows = [f"{words} {i}.\t{words[::-1]} {i}." for i in range(40)]
        (tmp_path / f"{name}.tsv").write_text("".join(f"{row}\n" for row in rows))
    figures, language = [], ("--skip-filter", "language")
    for weight in (1, 3):
        corpora = (f"tsv:{tmp_path}/one.tsv", f"tsv:{tmp_path}/other.tsv?loss_weight={weight}")
        options = ("--vocabulary-size", "288", "--min-letters", "0", "--near-duplicates", "1")
        data, out = tmp_path / f"data-{weight}", tmp_path / f"run-{weight}"
        dev = ("--dev", f"tsv:{tmp_path}/dev.tsv")
        succeeded(nmt("prepare", "--pair", "en-de", "--corpus", *corpora, *dev, *options, *language, "--out", data))
        succeeded(nmt(*train_arguments(data, out, "training.dev_sentences=0")))
        figures.append([json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()])
    plain, weighted = figures
    assert [step["target_tokens"] for step in weighted] == [step["target_tokens"] for step in plain]
    # In a batch with pairs of only one corpus, their weight has no effect.
    assert max(abs(step["loss"] - other["loss"]) for step, other in zip(plain, weighted, strict=True)) > 1e-4
