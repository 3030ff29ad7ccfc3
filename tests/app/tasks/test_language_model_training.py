"""Language models by the command line: from running text to a run whose checkpoints are ranked by the dev loss."""

import json
from pathlib import Path

import pytest

from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.tasks.known import task_named
from keras_nmt.layers import LanguageModel, network_of
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.sources.corpora import LanguagePair
from tests.app.command_line import Done, nmt, refusal, succeeded, train_arguments

TEXT = "".join(f"Citizen {i}:\n  Speak, speak, {i} times.\n\n" for i in range(150))
DEV = "All:\nWe know the citizen, we know.\n\n  Speak!\n"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("language-model")
    (folder / "train.txt").write_text(TEXT)
    (folder / "dev.txt").write_text(DEV)
    return folder


@pytest.fixture(scope="module")
def preparing(folder: Path) -> Done:
    specs = ("--corpus", f"text:{folder / 'train.txt'}", "--dev", f"text:{folder / 'dev.txt'}")
    sizes = ("--units", "characters", "--max-tokens", "16", "--workers", "1")
    return succeeded(nmt("prepare", "--task", "language-model", *specs, *sizes, "--out", folder / "data"))


@pytest.fixture(scope="module")
def run(folder: Path, preparing: Done) -> RunDirectory:
    succeeded(nmt(*train_arguments(folder / "data", folder / "run", "training.max_length=16")))
    return RunDirectory.open(folder / "run")


def test_the_sizes_of_the_texts_are_printed(preparing: Done) -> None:
    blocks = -(-(len(TEXT) + 1) // 16)
    size = f"1 document(s), {len(TEXT.split())} words and {len(TEXT):,} characters; {len(TEXT) + 1:,} tokens"
    assert "train: kept 1 of 1 sections" in preparing.err
    assert f"train: {size} in {blocks} block(s) in 8 shard(s)" in preparing.err
    assert "32,000 are usual" not in preparing.err


def test_checkpoints_are_ranked_by_the_dev_loss(run: RunDirectory) -> None:
    results = run.dev_results()
    assert [set(line) for line in results.values()] == [{"step", "dev_loss", "dev_perplexity"}] * 2
    assert run.ranked_steps() == sorted(results, key=lambda step: results[step]["dev_loss"])
    assert (run.ranking_metric, run.configuration.training.dev_sentences) == ("loss", 0)


def test_the_model_has_no_encoder_and_its_run_knows_the_text(run: RunDirectory) -> None:
    assert isinstance(network_of(run.configuration.model), LanguageModel)
    assert run.task.name == "language-model"
    assert run.manifest["corpora"]["dev"]["text"] == {"documents": 1, "words": len(DEV.split()), "characters": len(DEV)}


def test_the_examples_are_beginnings_of_lines(run: RunDirectory) -> None:
    assert run.manifest["examples"] == ["All:", "Speak!", "We know the citizen, we know."]


def test_checkpoints_cannot_be_ranked_by_a_score(folder: Path, preparing: Done) -> None:
    done = nmt(*train_arguments(folder / "data", folder / "other", "training.best_by=score"))
    assert 'best_by is "score", but a language-model has no score; use "loss"' in refusal(done, "train")


def test_the_number_of_words_and_characters_of_the_dev_text_is_in_the_manifest(folder: Path, preparing: Done) -> None:
    manifest = json.loads((folder / "data" / "manifest.json").read_text())
    counts = {"documents": 1, "words": len(DEV.split()), "characters": len(DEV)}
    assert manifest["splits"]["dev"]["text_counts"] == counts
    assert manifest["splits"]["dev"]["running_text"] == "dev.text"
    assert (folder / "data" / "dev.text").read_text() == DEV
    assert Manifest.load(folder / "data").pair == LanguagePair("prompt", "text")


def test_generated_text_is_not_scored() -> None:
    task = task_named("language-model")
    assert (task.metric, task.verb) == (None, "generate")
    with pytest.raises(UserError, match="generated text has no references to score it by"):
        task.score(["a"], [["b"]])


def test_units_are_refused_for_translation(folder: Path) -> None:
    specs = ("--pair", "en-de", "--corpus", "sample:tatoeba-en-de", "--dev", "sample:tatoeba-en-de")
    done = nmt("prepare", *specs, "--units", "bytes", "--out", folder / "translation")
    assert refusal(done, "prepare") == "units bytes are for language models; leave out --units"
