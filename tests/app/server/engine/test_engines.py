"""Exports with CTranslate2's weights, beside a SavedModel or alone."""

from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import tensorflow as tf

from keras_nmt.app.exporting import export as exporter
from keras_nmt.app.models.exports import ExportModel
from keras_nmt.app.models.loading import RunModel, load_model
from keras_nmt.app.server.engine.versions import Version
from tests.app.command_line import nmt, succeeded
from tests.app.server.serving import Running, serving
from tests.app.traced_once import golden_as, save_as

pytestmark = pytest.mark.usefixtures("traced_once")
TEXTS = ["It rains.", "", "We are here, and you are not."]


@pytest.fixture(scope="module")
def both_engines(run: Path, export: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An export of the run with both engines. What TensorFlow writes is copied from another export to save time."""
    out = tmp_path_factory.mktemp("both") / "both"
    checked = mock.patch.object(exporter, "check_in_fresh_process", return_value=None)
    golden = mock.patch.object(exporter, "golden_translations", golden_as(export / "1"))
    with checked, golden, mock.patch.object(tf.saved_model, "save", save_as(export / "1")):
        succeeded(nmt("export", run, "--out", out, "--precision", "float32", "--cpu-engine", "float32"))
    return out


@pytest.fixture(scope="module")
def ctranslate2_server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    out = tmp_path_factory.mktemp("ctranslate2") / "alone"
    succeeded(nmt("export", run, "--out", out, "--format", "ctranslate2"))
    with serving(out) as running:
        yield running


def test_the_faster_engine_translates_and_the_saved_model_does_the_rest(both_engines: Path, run: Path) -> None:
    export = ExportModel(both_engines / "1", {})
    assert "saved_model" not in vars(export)  # loaded only when needed
    fast = export.translator().translate(TEXTS)
    assert "saved_model" not in vars(export)
    assert fast == load_model(run, engine="ctranslate2").translator().translate(TEXTS)
    slow = ExportModel(both_engines / "1", {}, engine="tensorflow")
    assert slow.engine is None
    scored = [list(one.scorer().score_lines([("It rains.", "Es regnet.")])) for one in (export, slow)]
    assert scored[0][0].score == pytest.approx(scored[1][0].score, abs=1e-3)
    assert list(export.aligner().align_lines([("It rains.", fast[0].text)]))
    assert {"align", "explain", "serving_default"} < set(export.signatures)


def test_an_engine_can_be_chosen_or_left_out_of_an_export(both_engines: Path, export: Path) -> None:
    for engine in ("tensorflow", "ctranslate2"):
        done = succeeded(nmt("translate", both_engines, "--engine", engine, stdin=b"It rains.\n"))
        assert len(done.lines) == 1
    assert not (export / "1" / "assets.extra" / "ctranslate2").exists()
    assert (both_engines / "1" / "assets.extra" / "ctranslate2" / "model.bin").is_file()
    card = (both_engines / "1" / "README.md").read_text(encoding="utf-8")
    assert "| on a CPU | nmt translates with CTranslate2 (float32)" in card


def test_the_server_uses_both_engines(both_engines: Path) -> None:
    expected = ExportModel(both_engines / "1", {}).translator().translate(TEXTS)
    with serving(both_engines) as server:
        rows = server.ok("/v1/models/both:predict", {"instances": TEXTS})["predictions"]
        assert [row["translations"] for row in rows] == [line.text for line in expected]
        asked = {"sentence": "It rains.", "source": "en", "target": "de"}
        assert server.ok("/api/explain", asked)["source_pieces"]


def test_both_engines_count_the_same_tokens(both_engines: Path, export: Path) -> None:
    outside, graph = Version("both", both_engines / "1"), Version("export", export / "1")
    assert (outside.has_faster_engine, graph.has_faster_engine) == (True, False)
    assert outside.export.python_vocabulary
    assert graph.export.python_vocabulary is None
    texts = [text.encode() for text in TEXTS]
    assert outside.token_counts(texts) == graph.token_counts(texts)
    assert outside.token_counts(texts)[1] == 0


@pytest.mark.slow
def test_the_server_serves_an_export_for_ctranslate2(ctranslate2_server: Running, run: Path) -> None:
    server, model = ctranslate2_server, "/v1/models/alone"
    rows = server.ok(f"{model}:predict", {"instances": TEXTS})["predictions"]
    assert [row["scores"] == 0.0 for row in rows] == [False, True, False]
    definitions = server.ok(f"{model}/metadata")["metadata"]["signature_def"]["signature_def"]
    assert set(definitions) == {"serving_default", "translate", "translate_nbest", "score", "tokenize", "detokenize"}
    assert set(definitions["serving_default"]["inputs"]) == {"texts"}
    assert set(definitions["serving_default"]["outputs"]) == {"translations", "scores"}
    assert set(definitions["translate"]["outputs"]) == {"translations", "scores", "confidences", "warnings"}
    assert definitions["translate"]["inputs"]["beam_size"]["tensor_shape"]["dim"] == []
    found = server.ok("/translate", {"q": TEXTS[0], "source": "en", "target": "de", "alternatives": 1})
    assert found["translatedText"]
    inputs = {"texts": TEXTS[:1], "targets": ["Es regnet."]}
    scored = server.ok(f"{model}:predict", {"signature_name": "score", "inputs": inputs})
    (ours,) = RunModel(run).scorer().score_lines([(TEXTS[0], "Es regnet.")])
    assert scored["outputs"]["scores"][0] == pytest.approx(ours.score, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "fields", "signature"),
    [
        ("/api/explain", {"sentence": "It rains."}, "explain"),
        ("/api/align", {"sentence": "It rains.", "translation": "Es regnet."}, "align"),
        ("/api/alternatives", {"sentence": "It rains.", "prefix": "Es"}, "translate_alternatives"),
        ("/translate", {"q": "<b>It</b> rains.", "format": "html"}, "align"),
    ],
)
def test_a_request_for_a_signature_that_ctranslate2_lacks_is_refused(
    ctranslate2_server: Running, path: str, fields: dict[str, str], signature: str
) -> None:
    response = ctranslate2_server.post(path, {"source": "en", "target": "de", **fields})
    assert response.status_code == 404
    message = response.json()["error"]
    assert message.startswith(f"alone has no signature {signature}, which this needs; it has: serving_default, ")
