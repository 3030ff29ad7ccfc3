"""Language models by the command line: from running text to a run that continues a prompt and is measured on a text."""

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from keras_nmt.app.decoding.generation import measuring
from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.errors import UserError
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.tasks.language_model import LanguageModelling
from keras_nmt.layers import LanguageModel
from tests.app.command_line import nmt, objects, succeeded
from tests.app.tasks.corpora import DEV_PLAY


def generated(run: Path, *options: str, prompt: str = "The cat") -> str:
    return succeeded(nmt("generate", run, "--prompt", prompt, "--max-tokens", "20", *options)).out


def test_a_run_is_a_decoder_that_is_ranked_by_its_loss(language_model_run: Path) -> None:
    run = RunDirectory.open(language_model_run)
    assert run.configuration.model.encoder_layers == 0
    assert run.ranking_metric == "loss"
    engine = RunModel(language_model_run).engine
    assert isinstance(engine, GenerationGraph)
    assert isinstance(engine.model, LanguageModel)
    first, second = run.dev_results().values()
    assert second["dev_loss"] < first["dev_loss"]


def test_a_prompt_is_continued_and_the_seed_decides_how(language_model_run: Path) -> None:
    first = generated(language_model_run, "--seed", "3")
    assert first.startswith("The cat")
    assert first == generated(language_model_run, "--seed", "3")
    assert first != generated(language_model_run, "--seed", "4")
    greedy = generated(language_model_run, "--temperature", "0", "--seed", "3")
    assert greedy == generated(language_model_run, "--temperature", "0", "--seed", "4")


def test_several_samples_are_the_texts_of_successive_seeds(language_model_run: Path) -> None:
    alone = [generated(language_model_run, "--seed", seed) for seed in ("3", "4")]
    assert generated(language_model_run, "--seed", "3", "--samples", "2") == f"{'-' * 20}\n".join(alone)


def test_a_text_ends_before_a_stop_string(language_model_run: Path) -> None:
    whole = generated(language_model_run, "--seed", "5").removesuffix("\n")
    stop = whole[len("The cat") + 4]
    assert (
        generated(language_model_run, "--seed", "5", "--stop", stop)
        == whole[: whole.index(stop, len("The cat"))] + "\n"
    )


def test_evaluate_measures_the_perplexity_of_a_text(language_model_run: Path, running_text: Path) -> None:
    done = succeeded(nmt("evaluate", language_model_run, "--test-set", f"text:{running_text / 'dev.txt'}", "--json"))
    found = json.loads(done.out)
    assert (found["words"], found["characters"], found["tokens"]) == (
        len(DEV_PLAY.split()),
        len(DEV_PLAY),
        len(DEV_PLAY) + 1,
    )
    assert found["perplexity"] == pytest.approx(math.exp(found["nats_per_token"]))
    nats = found["nats_per_token"] * found["tokens"]
    assert found["bits_per_character"] == pytest.approx(nats / len(DEV_PLAY) / math.log(2))
    assert found["word_perplexity"] == pytest.approx(math.exp(nats / len(DEV_PLAY.split())))


def test_score_prints_the_log_probability_of_each_line(language_model_run: Path, tmp_path: Path) -> None:
    lines = ["Speak, Citizen", "", "speak times " * 4]
    (tmp_path / "lines").write_text("".join(f"{line}\n" for line in lines))
    done = objects(succeeded(nmt("score", language_model_run, "--target", tmp_path / "lines", "--json")))
    engine = RunModel(language_model_run).engine
    assert isinstance(engine, GenerationGraph)
    for found, line in zip(done, lines, strict=True):
        expected, tokens = measuring.log_probability(engine, [line])
        assert found["score"] == found["log_probability"] == pytest.approx(expected, rel=1e-4)
        assert "".join(token["piece"] for token in found["tokens"]) == line + "</s>"
        assert len(found["tokens"]) == tokens
        assert sum(token["log_probability"] for token in found["tokens"]) == pytest.approx(expected, rel=1e-4)
    plain = succeeded(
        nmt("score", language_model_run, "--target", "-", stdin="".join(f"{s}\n" for s in lines).encode())
    )
    assert [float(line) for line in plain.lines] == pytest.approx([found["score"] for found in done], abs=1e-4)


def test_score_needs_a_source_except_for_a_language_model(
    language_model_run: Path, run: Path, running_text: Path
) -> None:
    target = ("--target", running_text / "dev.txt")
    for option, value in (("--source", running_text / "dev.txt"), ("--length-penalty", "1")):
        done = nmt("score", language_model_run, *target, option, value)
        assert done.complaints == [f"nmt score: a language model scores the --target alone; leave {option} out"]
    missing = "nmt score: a translation is scored given its source; add --source FILE"
    assert nmt("score", run, *target).complaints == [missing]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--temperature", "-1"), "--temperature is -1.0; it must be a number of at least 0"),
        (("--samples", "0"), "--samples is 0; it must be at least 1"),
        (("--top-p", "2"), "--top-p is 2.0; it must be above 0 and at most 1"),
        (("--stop", ""), "--stop is empty; give the text to stop at"),
    ],
)
def test_values_out_of_range_are_refused(language_model_run: Path, options: tuple[str, ...], message: str) -> None:
    assert nmt("generate", language_model_run, *options).complaints == [f"nmt generate: {message}"]


def test_the_sections_of_a_document_are_measured_as_one_text(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[list[str]] = []

    def log_probability(engine: object, texts: list[str]) -> tuple[float, int]:
        measured.append(texts)
        return -4.0, 8

    monkeypatch.setattr(measuring, "log_probability", log_probability)
    engine: Any = SimpleNamespace(vocabulary=SimpleNamespace(is_of_words=False))
    found = LanguageModelling().measure(engine, ["+", "", ""], ["one ", "two", "three"])
    assert measured == [["one two", "three"]]
    assert (found.words, found.characters, found.nats_per_token) == (3, 12, 0.5)
    with pytest.raises(UserError, match="the text is empty"):
        LanguageModelling().measure(engine, [""], [""])
