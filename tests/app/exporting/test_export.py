"""What `nmt export` writes beside the model: golden translations, warm-up requests and a model card."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import numpy as np
import pytest
import tensorflow as tf
import yaml
from tensorflow.python.tools import saved_model_cli
from tensorflow_serving.apis.predict_pb2 import PredictRequest
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from keras_nmt.app.decoding.ctranslate2_graph import CTranslate2Graph
from keras_nmt.app.errors import UserError
from keras_nmt.app.exporting import export as exporter
from keras_nmt.app.exporting.check_golden_translations import read_golden_translations
from keras_nmt.app.exporting.golden_translations import (
    GoldenTranslation,
    check_in_fresh_process,
    golden_texts,
    made_up_sentences,
)
from keras_nmt.app.exporting.model_card import model_card
from keras_nmt.app.exporting.signature_definitions import signature_definitions
from keras_nmt.app.models.ctranslate2_model import write_ctranslate2
from keras_nmt.app.models.export_layout import DESCRIPTION, ENGINE, newest_version
from keras_nmt.app.models.exports import ExportModel
from keras_nmt.app.models.loading import RunModel
from keras_nmt.app.runs.choice import choose_checkpoint
from keras_nmt.app.runs.directory import EXAMPLES, RunDirectory, example_sentences
from keras_nmt.layers import Transformer
from keras_nmt.pipelines.shards.manifest import Manifest
from tests.app.command_line import nmt, succeeded
from tests.app.traced_once import save_as

pytestmark = pytest.mark.usefixtures("traced_once")

TRANSLATIONS = {"translations", "scores"}
TEXT_INPUTS = {"text", "texts", "targets", "prefixes", "source_terms", "target_terms"}
SEARCH = {"beam_size", "length_penalty", "max_extra_tokens"}
SIGNATURES = {  # inputs without a default, and outputs
    "serving_default": ({"texts"}, TRANSLATIONS),
    "translate": ({"texts"}, TRANSLATIONS),
    "translate_nbest": ({"texts"}, TRANSLATIONS),
    "translate_prefix": ({"texts", "prefixes"}, TRANSLATIONS),
    "translate_alternatives": ({"texts", "prefixes"}, TRANSLATIONS),
    "translate_glossary": ({"texts", "source_terms", "target_terms"}, TRANSLATIONS),
    "translate_sample": ({"texts", "seeds"}, TRANSLATIONS),
    "score": ({"texts", "targets"}, {"scores", "log_probabilities", "token_log_probabilities", "pieces"}),
    "align": ({"texts", "targets"}, {"alignments", "weights"}),
    "explain": ({"text"}, {"source_pieces", "target_pieces", "cross_attention", "candidate_texts"}),
    "inside": ({"text"}, {"source_embeddings", "encoder_norms", "log_normalizers", "candidate_parents"}),
    "inside_layer": (
        {"source_ids", "target_ids", "kind", "layer", "head"},
        {"query", "scores", "head_output", "output_matrix", "normalized", "inner"},
    ),
    "tokenize": ({"texts"}, {"pieces", "ids", "lengths"}),
    "detokenize": ({"ids"}, {"texts"}),
}


@pytest.fixture
def version(export: Path) -> Path:
    return export / "1"


@pytest.fixture
def saved_again(version: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports copy the existing SavedModel instead of saving one."""
    monkeypatch.setattr(tf.saved_model, "save", save_as(version))


@pytest.fixture
def golden(version: Path) -> dict[str, Any]:
    return json.loads((version / "assets.extra" / "golden_translations.json").read_text(encoding="utf-8"))


@pytest.fixture
def facts(version: Path) -> dict[str, Any]:
    return json.loads((version / "assets.extra" / "nmt.json").read_text(encoding="utf-8"))


# Golden translations


def test_sentences_of_the_dev_set_are_stored_with_their_translations(golden: dict[str, Any], run: Path) -> None:
    dev = ["Who?", "It rains.", "We are here.", "I know it well."]
    *sentences, empty, long = golden["translations"]
    assert [line["text"] for line in sentences] == dev  # short ones first
    assert empty == {"text": "", "translation": "", "score": 0.0}
    assert len(long["text"].split()) > RunDirectory.open(run).configuration.decoding.max_source_tokens


def test_a_run_without_sentences_gets_made_up_ones(run: Path) -> None:
    model = RunModel(run)
    model.run.manifest.pop("examples")
    sentences = exporter.tagged_examples(model)
    assert sentences == made_up_sentences(model.graph.vocabulary)
    assert [len(sentence.split()) for sentence in sentences] == [1, 3, 10, 30]
    assert len(golden_texts(["a b"], 7, model.languages)[-1].split()) == 8


def test_the_sentences_of_a_run_are_neither_its_shortest_nor_its_longest(tmp_path: Path) -> None:
    lines = [f"{'word ' * i}{i}" for i in range(100)]
    (tmp_path / "dev.en").write_text("\n".join(["", *lines[::-1], lines[3]]), encoding="utf-8")
    dev = mock.Mock(running_text=None)
    data = mock.Mock(spec=Manifest, splits={"dev": dev}, text=lambda split: (tmp_path / "dev.en", None))
    data.split.return_value = dev
    assert example_sentences(data) == [lines[i] for i in (6, 18, 31, 43, 56, 68, 81, 93)]
    assert EXAMPLES == 8
    assert example_sentences(mock.Mock(spec=Manifest, splits={})) == []


@pytest.mark.parametrize(
    ("setting", "what"),
    [("word_token = 9", "is told the next word (word_token)"), ("copying = true", "copies from the source (copying)")],
)
def test_a_decoder_that_ctranslate2_does_not_have_is_exported_without_it(
    run_copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, what: str
) -> None:
    config = run_copy / "config.toml"
    default = {"word_token = 9": "word_token = 0", "copying = true": "copying = false"}[setting]
    config.write_text(config.read_text().replace(default, setting))
    model = RunModel(run_copy)
    assert exporter.write_engine(model, tmp_path / "engine", "int8") == "none"
    assert not (tmp_path / "engine").exists()
    reason = f"CTranslate2 does not support a decoder that {what}"
    assert f"{reason}; using the SavedModel alone\n" in capsys.readouterr().err
    with pytest.raises(UserError, match=re.escape(f"{reason}; use TensorFlow")):
        exporter.export_ctranslate2(model, tmp_path / "out", "float32")
    with pytest.raises(ValueError, match=re.escape(reason)):
        write_ctranslate2(Transformer(model.run.configuration.model), model.run.vocabulary(), tmp_path, "float32")


@pytest.mark.slow  # damaged ones are refused in the default suite
def test_an_export_with_changed_weights_is_not_published(
    run: Path, golden: dict[str, Any], tmp_path: Path, saved_again: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [GoldenTranslation(**line) for line in golden["translations"]]
    monkeypatch.setattr(exporter, "golden_translations", lambda *_: lines)
    save = tf.saved_model.save

    def save_otherwise(module: tf.Module, path: str, **how: object) -> None:
        save(module, path, **how)
        change_a_weight(Path(path) / "variables" / "variables")

    monkeypatch.setattr(tf.saved_model, "save", save_otherwise)
    done = nmt("export", run, "--out", tmp_path / "export", "--precision", "float32")
    assert (done.code, done.out) == (1, "")
    (complaint,) = done.complaints
    assert complaint.startswith("nmt export: a fresh process does not reproduce the export: it translates 'Who?' as (")
    assert complaint.endswith("); not published")
    assert list(tmp_path.iterdir()) == []


def change_a_weight(prefix: Path) -> None:
    """Increases the values of the largest saved tensor by one per cent."""
    reader = tf.train.load_checkpoint(str(prefix))
    values = {name: reader.get_tensor(name) for name in reader.get_variable_to_shape_map()}
    greatest = max(values, key=lambda name: np.size(values[name]))
    values[greatest] = values[greatest] * np.float32(1.01)
    names = list(values)
    tf.raw_ops.SaveV2(
        prefix=str(prefix), tensor_names=names, shape_and_slices=[""] * len(names), tensors=list(values.values())
    )


def test_an_export_with_damaged_golden_translations_is_not_published(
    run: Path, golden: dict[str, Any], tmp_path: Path, saved_again: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = [GoldenTranslation(**line) for line in golden["translations"]]
    monkeypatch.setattr(exporter, "golden_translations", lambda *_: lines)
    write = exporter.write_golden_translations

    def write_half(folder: Path, *translations_and_precision: Any) -> None:
        write(folder, *translations_and_precision)
        file = folder / "assets.extra" / "golden_translations.json"
        file.write_bytes(file.read_bytes()[:200])

    monkeypatch.setattr(exporter, "write_golden_translations", write_half)
    done = nmt("export", run, "--out", tmp_path / "export", "--precision", "float32", "--cpu-engine", "none")
    assert (done.code, done.out) == (1, "")
    assert "does not reproduce the export: golden_translations.json is damaged: " in done.complaints[0]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "damage",
    [
        lambda golden: golden["translations"].clear(),
        lambda golden: golden.pop("score_tolerance"),
        lambda golden: golden["translations"][0].pop("score"),
        lambda golden: golden["translations"][0].update(score=None),
        lambda golden: golden["translations"][0].update(translation=None),
    ],
)
def test_incomplete_golden_translations_are_refused(
    golden: dict[str, Any], tmp_path: Path, damage: Callable[[dict[str, Any]], object]
) -> None:
    file = tmp_path / "golden_translations.json"
    file.write_text(json.dumps(golden))
    assert read_golden_translations(file) == golden
    damage(golden)
    file.write_text(json.dumps(golden))
    with pytest.raises(SystemExit, match="json is damaged: "):
        read_golden_translations(file)


@pytest.mark.parametrize(
    ("key", "value", "tolerance", "reproduced"),
    [
        ("text", "It rains.", [], True),
        ("score", 1e-3, [], False),
        ("score", 1e-3, ["0.01"], True),
        ("translation", "other", [], False),
    ],
)
def test_an_export_contains_the_script_that_checks_it(
    version: Path,
    golden: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    *,
    key: str,
    value: Any,
    tolerance: list[str],
    reproduced: bool,
) -> None:
    loaded = tf.saved_model.load(str(version))
    extra = Path(shutil.copytree(version / "assets.extra", tmp_path / "1" / "assets.extra"))
    line = golden["translations"][1]
    line[key] = line[key] + value if key == "score" else value
    (extra / "golden_translations.json").write_text(json.dumps(golden))
    load = {str((tmp_path / "1").resolve()): loaded}.__getitem__
    with mock.patch.object(tf.saved_model, "load", load), mock.patch.object(sys, "argv", ["", *tolerance]):
        if reproduced:
            runpy.run_path(str(extra / "check_golden_translations.py"), run_name="__main__")
            assert capsys.readouterr().out == "6 golden translations were reproduced\n"
        else:
            with pytest.raises(SystemExit, match=r"^it translates 'It rains.' as .*, not as \("):
                runpy.run_path(str(extra / "check_golden_translations.py"), run_name="__main__")


def test_the_last_line_of_a_failed_check_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = subprocess.CompletedProcess([], 1, stdout="", stderr="Traceback\n  somewhere\nNotFoundError: an op\n\n")
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(UserError, match="not reproduce the export: NotFoundError: an op; not published"):
        check_in_fresh_process(tmp_path)


# Signatures and warm-up requests


def test_inputs_and_outputs_have_names_types_and_shapes(version: Path) -> None:
    definitions = signature_definitions(version)
    assert list(definitions) == ["serving_default", *sorted(SIGNATURES.keys() - {"serving_default"})]
    for name, (required, outputs) in SIGNATURES.items():
        definition = definitions[name]
        assert definition.inputs.keys() - definition.defaults.keys() == required
        assert set(definition.outputs) >= outputs
        for key, info in definition.inputs.items():
            assert info.name == f"{name}_{key}:0"
            expected = tf.string if key in TEXT_INPUTS else tf.int32
            assert key in definition.defaults or info.dtype == expected.as_datatype_enum
        for info in (*definition.inputs.values(), *definition.outputs.values()):
            assert info.dtype
            assert not info.tensor_shape.unknown_rank
    for name in ("translate", "translate_nbest", "translate_prefix"):
        assert set(definitions[name].defaults) >= SEARCH
    assert definitions["serving_default"].inputs.keys() == {"texts"}
    assert definitions["serving_default"].outputs.keys() == TRANSLATIONS
    assert set(definitions["score"].defaults) == {"length_penalty"}


def requests_of(version: Path) -> list[PredictRequest]:
    file = version / "assets.extra" / "tf_serving_warmup_requests"
    records = [record.numpy() for record in tf.data.TFRecordDataset(str(file))]
    return [PredictionLog.FromString(record).predict_log.request for record in records]


def test_warm_up_requests_contain_all_inputs_of_each_signature(version: Path) -> None:
    definitions, requests = signature_definitions(version), requests_of(version)
    assert {request.model_spec.signature_name for request in requests} == set(SIGNATURES)
    assert len(requests) == len(SIGNATURES) + 4 <= 1000  # each sentence alone, for `translate`
    for request in requests:
        definition = definitions[request.model_spec.signature_name]
        assert request.inputs.keys() == definition.inputs.keys()
        for name, value in request.inputs.items():
            assert value.dtype == definition.inputs[name].dtype
            shape = tf.TensorShape(definition.inputs[name].tensor_shape)
            assert shape.is_compatible_with(tf.make_ndarray(value).shape)
            assert name not in definition.defaults or value == definition.defaults[name]


@pytest.mark.slow
def test_warm_up_requests_can_be_run(version: Path, golden: dict[str, Any]) -> None:
    signatures = tf.saved_model.load(str(version)).signatures
    stored = {line["text"]: line["translation"] for line in golden["translations"]}
    seen = []
    for request in requests_of(version):
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        found = signatures[request.model_spec.signature_name](**inputs)
        assert all(tf.size(value) for value in found.values())
        if request.model_spec.signature_name == "translate":
            texts, translations = (
                [text.decode() for text in values.numpy()] for values in (inputs["texts"], found["translations"])
            )
            assert translations == [stored[text] for text in texts]
            seen += texts
    assert sorted(seen) == sorted(2 * ["Who?", "It rains.", "We are here.", "I know it well."])


def test_serving_default_needs_only_texts(
    version: Path, golden: dict[str, Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stored = golden["translations"][2]
    found = tf.saved_model.load(str(version)).signatures["serving_default"](tf.constant([stored["text"]]))
    assert {name: value.numpy().tolist() for name, value in found.items()} == {
        "translations": [stored["translation"].encode()],
        "scores": pytest.approx([stored["score"]], rel=1e-4),
    }
    asked = ("run", f"--dir={version}", "--tag_set=serve", "--signature_def=serving_default")
    monkeypatch.setattr(sys, "argv", ["saved_model_cli", *asked, f"--input_exprs=texts=[b'{stored['text']}']"])
    with pytest.raises(SystemExit) as ended:
        saved_model_cli.main()
    assert not ended.value.code
    assert repr(stored["translation"].encode()) in capsys.readouterr().out


def test_an_older_export_without_translate_can_be_loaded(
    version: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = tmp_path / "old" / "1"
    shutil.copytree(version, old, ignore=shutil.ignore_patterns("variables", "ctranslate2"))
    facts = json.loads((old / DESCRIPTION).read_text())
    del facts["signatures"]
    (old / DESCRIPTION).write_text(json.dumps(facts))
    loaded = tf.saved_model.load(str(version))
    signatures = {**loaded.signatures, "serving_default": loaded.signatures["translate"]}
    del signatures["translate"]
    monkeypatch.setattr(tf.saved_model, "load", lambda _: SimpleNamespace(signatures=signatures))
    model = ExportModel(old, {"beam_size": 1})
    assert model.translator().translate(["It rains."]) == (
        ExportModel(version, {"beam_size": 1}, "tensorflow").translator().translate(["It rains."])
    )
    assert set(model.signatures["serving_default"].structured_input_signature[1]) > SEARCH
    monkeypatch.setattr(CTranslate2Graph, "__init__", lambda *_, **__: None)
    monkeypatch.setattr(CTranslate2Graph, "signatures", lambda _: {"serving_default": min, "translate": max})
    (old / ENGINE).mkdir()
    assert ExportModel(old, {}).signatures["serving_default"] is max


# The model card


def parts(card: str) -> tuple[dict[str, Any], str]:
    """Splits a card into its front matter, parsed, and its Markdown."""
    _, front, body = card.split("---\n", 2)
    return yaml.safe_load(front), body


def test_the_card_describes_the_run(version: Path, road: Path) -> None:
    front, body = parts((version / "README.md").read_text(encoding="utf-8"))
    assert front == {
        "language": ["en", "de"],
        "license": "unknown",
        "pipeline_tag": "translation",
        "tags": ["translation", "transformer", "tensorflow"],
        "metrics": ["bleu"],
    }
    for expected in (
        "# Translation from en to de\n",
        "| parameters | 37,248 |",
        "| weights | those of step 4 |",
        "| precision | float32 (asked for with `--precision float32`), for any processor |",
        "| decoding | beam search with 2 hypotheses, length penalty 2.0, up to 2 tokens more than the source |",
        "| train | `sample:tatoeba-en-de` (CC BY 2.0, tatoeba.org and manythings.org/anki) | 600 |",
        "| dev | `tsv:dev.tsv` | 4 |",
        "| 4 | 0.0 |",
        "1 encoder and 1 decoder layers of width 32 with 2 heads",
        "`texts` string [?]<br>`beam_size` int32 [] = 2<br>",
        "**To be filled in:**",
    ):
        assert expected in body
    assert re.findall(r"^## (.+)$", body, re.MULTILINE) == [
        *("How to use it", "Translations", "Training data", "Scores", "Architecture and training", "Limits", "Licence")
    ]
    files = (version / "README.md", version / "assets.extra" / "nmt.json")
    assert not any(str(road) in file.read_text(encoding="utf-8") for file in files)


def test_what_the_card_shows_can_be_run(
    version: Path, golden: dict[str, Any], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    card = (version / "README.md").read_text(encoding="utf-8")
    (python,) = re.findall(r"```python\n(.+?)```", card, re.DOTALL)
    loaded = tf.saved_model.load(str(version))
    monkeypatch.chdir(version)
    with mock.patch.object(tf.saved_model, "load", {".": loaded}.__getitem__):
        exec(python, {})
    (*printed, score), (*shown, shown_score) = (
        line.removeprefix("#").split() for line in (capsys.readouterr().out, python.splitlines()[-1])
    )
    assert printed == shown
    assert float(score) == pytest.approx(float(shown_score), rel=1e-6)
    (body,) = re.findall(r"-d '(.+)'\n", card)
    assert json.loads(body) == {"instances": [golden["translations"][2]["text"]]}


def test_the_card_of_an_ensemble_and_of_an_imported_model(facts: dict[str, Any]) -> None:
    facts["ensemble"] = [{"run": "other", "step": 1200}]
    _, body = parts(model_card(facts, [], "usage"))
    assert "| weights | an ensemble of 2: those of step 4; those of step 1,200 of the run `other` |" in body
    facts["ensemble"] = []
    facts["checkpoint"]["imported"] = "opus-mt-en-de"
    facts["run"]["imported"] = {"from": "Marian", "name": "opus-mt-en-de", "weights": "0"}
    _, body = parts(model_card(facts, [], "usage"))
    assert "imported from another program's model and exported with nmt" in body
    assert "| weights | those of `opus-mt-en-de` |" in body
    assert "Trained elsewhere and imported from Marian: `opus-mt-en-de`." in body
    assert "Trained for up to" not in body


def test_the_card_of_an_average_in_bfloat16_with_a_licence(facts: dict[str, Any]) -> None:
    facts["checkpoint"] |= {"averaged": [2, 4]}
    facts["dev_results"] = [{"step": step, "dev_loss": step / 8, "dev_perplexity": 3.0} for step in (2, 4)]
    facts |= {"precision": "bfloat16", "precision_reason": "chosen", "license": "cc-by-4.0"}
    facts["run"]["pairs"] = [{"source": "no", "target": "de"}]  # no means false in YAML
    front, body = parts(model_card(facts, [GoldenTranslation("a|b", "c", -1.0)], "usage"))
    assert front["language"] == ["no", "de"]
    assert front["license"] == "cc-by-4.0"
    assert "metrics" not in front
    assert "those at the steps 2, 4 |" in body
    assert "| bfloat16 (chosen), for CPUs with AMX or AVX-512 BF16" in body.replace("precision ", "")
    assert "| 2 |  | 0.25 | 3.0 |\n| 4 |  | 0.5 | 3.0 |\n\nThe mean of these checkpoints" in body
    assert r"| a\|b | c | -1.0000 |" in body
    assert "To be filled in" not in body


def test_the_card_of_an_older_run_says_what_is_not_recorded(facts: dict[str, Any]) -> None:
    del facts["run"]["corpora"]
    facts["dev_results"] = []
    _, body = parts(model_card(facts, [], "usage"))
    assert "\nNot recorded: an older version of this program" in body
    assert "None was measured" in body
    assert "of sentences of the dev set:" in body
    facts["run"]["examples"] = []
    assert "of words drawn at random" in model_card(facts, [], "usage")


@pytest.mark.slow
def test_the_scores_of_a_run_are_in_the_card_of_its_export(
    run_copy: Path, version: Path, tmp_path: Path, saved_again: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporter, "check_in_fresh_process", lambda folder: None)
    monkeypatch.setattr(exporter, "golden_translations", lambda *_: [GoldenTranslation("a", "b", -1.0)] * 5)
    opened = RunDirectory.open(run_copy)
    found = {
        "bleu": 1.0,
        "chrf": 2.0,
        "ter": 3.0,
        "sentences": 4000,
        "decoding": {"beam_size": 4},
        "signatures": {"bleu": "sacre"},
    }
    newest = choose_checkpoint(opened)
    for checkpoint, text, bleu in (
        (newest, "test", 9.0),
        (newest, "test", 30.0),
        (choose_checkpoint(opened, "2"), "other", 40.0),
    ):
        opened.add_evaluation(checkpoint, text, {**found, "bleu": bleu})
    out = tmp_path / "export"
    shutil.copytree(version, out / "1")
    succeeded(nmt("export", run_copy, "--out", out, "--beam-size", "1", "--license", "cc-by-4.0"))
    assert newest_version(out) == out / "2"
    assert sorted(path.name for path in out.iterdir()) == ["1", "2"]
    front, body = parts((out / "2" / "README.md").read_text(encoding="utf-8"))
    assert (front["license"], front["metrics"]) == ("cc-by-4.0", ["bleu", "chrf", "ter"])
    assert "| --- |\n| `test` | 4,000 | 4 | 30.00 | 2.00 | 3.00 |\n\n- bleu: `sacre`\n" in body
    assert "chosen because the machine that exported it" in body
    assert "| decoding | greedy search, length penalty 2.0" in body
    description = json.loads((out / "2" / "assets.extra" / "nmt.json").read_text(encoding="utf-8"))
    assert (description["pair"], description["decoding"]["beam_size"]) == ("en-de", 1)
    assert description["checkpoint"]["step"] == 4
