"""Language models by the command line: from running text to a run whose checkpoints are ranked by the dev loss."""

import json
from pathlib import Path

import pytest
import tensorflow as tf

from benchmarks.programs.language_model_loss import losses
from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.errors import UserError
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.tasks.known import task_named
from keras_nmt.layers import LanguageModel, network_of
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.sources.corpora import LanguagePair
from tests.app.command_line import Done, nmt, refusal, train_arguments
from tests.app.tasks.corpora import DEV_PLAY, PLAY


@pytest.fixture(scope="module")
def run(language_model_run: Path) -> RunDirectory:
    return RunDirectory.open(language_model_run)


def test_the_sizes_of_the_texts_are_printed(running_text_preparing: Done) -> None:
    blocks = -(-(len(PLAY) + 1) // 16)
    size = f"1 document(s), {len(PLAY.split())} words and {len(PLAY):,} characters; {len(PLAY) + 1:,} tokens"
    assert "train: kept 1 of 1 sections" in running_text_preparing.err
    assert f"train: {size} in {blocks} block(s) in 8 shard(s)" in running_text_preparing.err
    assert "32,000 are usual" not in running_text_preparing.err


def test_checkpoints_are_ranked_by_the_dev_loss(run: RunDirectory) -> None:
    results = run.dev_results()
    assert [set(line) for line in results.values()] == [{"step", "dev_loss", "dev_perplexity"}] * 2
    assert run.ranked_steps() == sorted(results, key=lambda step: results[step]["dev_loss"])
    assert run.ranking_metric == "loss"


def test_the_model_has_no_encoder_and_its_run_knows_the_text(run: RunDirectory) -> None:
    assert isinstance(network_of(run.configuration.model), LanguageModel)
    assert run.task.name == "language-model"
    assert run.manifest["corpora"]["dev"]["text"] == {
        "documents": 1,
        "words": len(DEV_PLAY.split()),
        "characters": len(DEV_PLAY),
    }


def test_the_examples_are_beginnings_of_lines(run: RunDirectory) -> None:
    assert run.manifest["examples"] == ["All:", "Speak!", "We know the citizen, we know."]


@pytest.mark.usefixtures("running_text_preparing")
def test_checkpoints_cannot_be_ranked_by_a_score(running_text: Path, tmp_path: Path) -> None:
    done = nmt(*train_arguments(running_text / "data", tmp_path / "other", "training.best_by=score"))
    assert 'best_by is "score", but a language-model has no score; use "loss"' in refusal(done, "train")


@pytest.mark.usefixtures("running_text_preparing")
def test_the_number_of_words_and_characters_of_the_dev_text_is_in_the_manifest(running_text: Path) -> None:
    manifest = json.loads((running_text / "data" / "manifest.json").read_text())
    counts = {"documents": 1, "words": len(DEV_PLAY.split()), "characters": len(DEV_PLAY)}
    assert manifest["splits"]["dev"]["text_counts"] == counts
    assert manifest["splits"]["dev"]["running_text"] == "dev.text"
    assert (running_text / "data" / "dev.text").read_text() == DEV_PLAY
    assert Manifest.load(running_text / "data").pair == LanguagePair("prompt", "text")


def test_generated_text_is_not_scored() -> None:
    task = task_named("language-model")
    assert (task.metric, task.verb) == (None, "generate")
    with pytest.raises(UserError, match="generated text has no references to score it by"):
        task.score(["a"], [["b"]])


def test_units_are_refused_for_translation(tmp_path: Path) -> None:
    specs = ("--pair", "en-de", "--corpus", "sample:tatoeba-en-de", "--dev", "sample:tatoeba-en-de")
    done = nmt("prepare", *specs, "--units", "bytes", "--out", tmp_path / "translation")
    assert refusal(done, "prepare") == "units bytes are for language models; leave out --units"


def test_the_benchmark_measures_blocks_without_the_text_before_them(run: RunDirectory) -> None:
    found = losses(run.path, DEV_PLAY)
    engine = RunModel(run.path).engine
    assert isinstance(engine, GenerationGraph)

    def nats(text: str) -> float:
        (by_token,) = engine.score(tf.constant([text])).token_log_probabilities.numpy()
        return -float(by_token[: len(text)].sum())  # without EOS

    block = engine.reader.context_tokens
    assert block == 16
    blocks = [DEV_PLAY[first : first + block] for first in range(0, len(DEV_PLAY), block)]
    assert found["block_loss"] == pytest.approx(sum(map(nats, blocks)) / len(DEV_PLAY), rel=1e-5)
    assert found["sliding_loss"] == pytest.approx(nats(DEV_PLAY) / len(DEV_PLAY), rel=1e-5)
