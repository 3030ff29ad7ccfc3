"""`nmt translate --language-model`: a run translates with the help of a language model that has its vocabulary."""

import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.generation.graph import GenerationGraph
from keras_nmt.app.decoding.options import DecodingOptions
from keras_nmt.app.models.loading import RunModel, load_model
from keras_nmt.app.models.of_transformer import save_run
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.layers import LanguageModel, TransformerConfig
from keras_nmt.pipelines.vocabulary.tokenizer import BOS, EOS
from tests.app.command_line import Done, nmt, objects, refusal, succeeded
from tests.app.conftest import once
from tests.app.decoding.fakes import small_vocabulary

pytestmark = pytest.mark.usefixtures("traced_once")
GIVEN = b"It rains.\nWho?\n"
SIZES = {"model_width": 16, "inner_width": 32, "heads": 2, "encoder_layers": 0, "decoder_layers": 1}


@pytest.fixture(scope="module")
def language_model(road: Path, run: Path) -> Path:
    """A language model of lines, with the vocabulary of `run` and random but strong preferences."""
    out, data = road / "language-model", road / "language-model-data"

    def make() -> Done:
        (road / "lines.txt").write_text("Wir sind hier.\nWer ist da?\n" * 9)
        spec = f"text:{road / 'lines.txt'}?documents=lines"
        task = ("--task", "language-model", "--corpus", spec, "--dev", spec, "--skip-filter", "held_out")
        options = ("--max-tokens", "32", "--workers", "1", "--vocabulary", run)
        done = succeeded(nmt("prepare", *task, *options, "--out", data))
        keras.utils.set_random_seed(5)
        model = LanguageModel(TransformerConfig(RunDirectory.open(run).vocabulary().size, **SIZES))  # type: ignore[arg-type]
        model.weights[0].assign(9 * model.weights[0])  # the embeddings, which are the projection to logits too
        save_run(model, data, out, DecodingOptions(max_source_tokens=32))
        return done

    once(road, "language-model", make)
    return out


def test_prepared_text_has_the_vocabulary_of_the_run(language_model: Path, run: Path) -> None:
    vocabularies = [(folder / "vocabulary.model").read_bytes() for folder in (run, language_model)]
    assert vocabularies[0] == vocabularies[1]


def test_the_score_is_the_sum_of_both_models(language_model: Path, run: Path) -> None:
    options = ("--language-model", f"{language_model}:0", "--language-model-weight", "0.5", "--length-penalty", "0")
    done = succeeded(nmt("translate", run, *options, "--json", "--token-scores", stdin=GIVEN))
    assert "better train on" not in done.err
    graph, engine = RunModel(run).graph, RunModel(language_model).engine
    assert isinstance(engine, GenerationGraph)
    pieces = engine.vocabulary.pieces()
    for found, line in zip(objects(done), GIVEN.splitlines(), strict=True):
        ids = [pieces.index(piece) for piece, _ in found["tokens"]]
        own = graph.token_log_probabilities(graph.vocabulary.encode(tf.constant([line])), tf.constant([ids]))[0]
        logits = engine.model.decode(tf.constant([[BOS, EOS, *ids[:-1]]]))[0, 1:]
        of_text = tf.gather(tf.nn.log_softmax(logits), ids, batch_dims=1)
        np.testing.assert_allclose([score for _, score in found["tokens"]], own + 0.5 * of_text, atol=1e-3)
        assert found["score"] == pytest.approx(float(tf.reduce_sum(own + 0.5 * of_text)), abs=1e-3)


def test_what_does_not_fit_is_refused(language_model: Path, run: Path, export: Path, tmp_path: Path) -> None:
    def message(model: Path, *options: str | Path) -> str:
        return refusal(nmt("translate", model, *options, stdin=GIVEN), "translate")

    helped = ("--language-model", language_model)
    assert message(export, *helped) == f"{export} is an export; --language-model is for runs"
    assert message(run, "--language-model", run) == f"{run} is a model of translation, not a language model"
    assert message(run, *helped, "--language-model-weight", "-1") == (
        "--language-model-weight is -1.0; it must be at least 0"
    )
    assert message(run, "--language-model-weight", "1") == "--language-model-weight needs a --language-model; add one"
    assert message(run, *helped, "--engine", "ctranslate2") == (
        "CTranslate2 does not support a language model beside the translation model; leave --language-model out, or "
        "use TensorFlow"
    )
    other = with_changes(language_model, tmp_path / "other", vocabulary_digest=small_vocabulary().digest)
    small_vocabulary().save(other / "vocabulary.model")
    assert message(run, "--language-model", other) == (
        f"{other} has another vocabulary than {run}; prepare the text of the language model with --vocabulary {run}"
    )


def test_a_language_model_of_whole_files_or_short_texts_gets_a_remark(
    language_model: Path, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpora = json.loads((language_model / "manifest.json").read_text())["corpora"]
    assert corpora["train"]["origins"][0]["spec"] == "text:lines.txt?documents=lines"
    corpora["train"]["origins"][0]["spec"] = "text:lines.txt"
    of_files = with_changes(language_model, tmp_path / "of-files", corpora=corpora)
    load_model(run, language_model=str(of_files), max_source_tokens=33)
    remarks = capsys.readouterr().err
    assert f"{of_files}: does not know where a line ends; better train on text:FILE?documents=lines" in remarks
    assert f"{of_files}: has learnt from 32 tokens at once; the scores of longer translations" in remarks


def with_changes(run: Path, out: Path, **facts: object) -> Path:
    """Returns a copy of a run with other facts in its manifest."""
    copy = Path(shutil.copytree(run, out))
    manifest = json.loads((copy / "manifest.json").read_text())
    (copy / "manifest.json").write_text(json.dumps(manifest | facts))
    return copy
