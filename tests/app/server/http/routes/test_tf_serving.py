"""TensorFlow Serving's REST interface, by rows and by columns."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.models.exports import ExportModel
from tests.app.server.serving import Running

TEXTS = ["It rains.", "", "We are here, and you are not."]
MODEL = "/v1/models/export"


@pytest.fixture(scope="module")
def expected(export: Path) -> list[Any]:
    return ExportModel(export / "1", {}).translator().translate(TEXTS)


def test_the_status_and_the_metadata_of_a_model(server: Running) -> None:
    status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in (MODEL, f"{MODEL}/versions/1"):
        assert server.ok(path) == {"model_version_status": [status]}
    for path in (f"{MODEL}/metadata", f"{MODEL}/versions/1/metadata"):
        metadata = server.ok(path)
        assert metadata["model_spec"] == {"name": "export", "signature_name": "", "version": "1"}
        signatures = metadata["metadata"]["signature_def"]["signature_def"]
        texts = signatures["serving_default"]["inputs"]["texts"]
        assert texts["dtype"] == "DT_STRING"
        assert texts["tensor_shape"] == {"dim": [{"size": "-1", "name": ""}], "unknown_rank": False}
        assert {"translate", "translate_nbest", "score", "align", "tokenize", "detokenize"} < signatures.keys()


def test_inputs_by_rows_give_outputs_by_rows(server: Running, expected: list[Any]) -> None:
    for instances in (TEXTS, [{"texts": text} for text in TEXTS]):
        rows = server.ok(f"{MODEL}:predict", {"instances": instances})["predictions"]
        assert [row["translations"] for row in rows] == [one.text for one in expected]
        assert [row["scores"] for row in rows] == pytest.approx([one.score for one in expected], abs=1e-4)


def test_inputs_by_columns_give_outputs_by_columns(server: Running, expected: list[Any]) -> None:
    for inputs in (TEXTS, {"texts": TEXTS}):
        found = server.ok(f"{MODEL}/versions/1:predict", {"inputs": inputs})["outputs"]
        assert found["translations"] == [one.text for one in expected]
        assert set(found) == {"translations", "scores"}
    found = server.ok(f"{MODEL}:predict", {"signature_name": "translate", "inputs": TEXTS})["outputs"]
    assert set(found) == {"translations", "scores", "confidences", "warnings"}


def test_unsupported_paths_say_what_to_use_instead(server: Running) -> None:
    use = "use /v1/models/export/versions/1"
    for path in (f"{MODEL}/labels/stable", f"{MODEL}/labels/stable/metadata"):
        answer = server.get(path)
        assert (answer.status_code, "no labels" in answer.json()["error"]) == (404, True)
        assert use in answer.json()["error"]
    answer = server.post(f"{MODEL}/labels/stable:predict", {"instances": TEXTS})
    assert (answer.status_code, "such as stable;" in answer.json()["error"]) == (404, True)
    assert server.get("/v1/models/none/labels/stable").json() == {"error": "there is no model none; there are: export"}
    for path in (f"{MODEL}:classify", f"{MODEL}/versions/1:regress"):
        answer = server.post(path, {"examples": []})
        assert (answer.status_code, f"{use}:predict" in answer.json()["error"]) == (400, True)


def test_a_single_output_has_no_name(server: Running) -> None:
    ids = server.ok(f"{MODEL}:predict", {"signature_name": "tokenize", "inputs": ["It rains."]})["outputs"]["ids"]
    body = {"signature_name": "detokenize", "inputs": ids}
    assert server.ok(f"{MODEL}:predict", body) == {"outputs": ["It rains."]}
    assert server.ok(f"{MODEL}:predict", {"signature_name": "detokenize", "instances": ids}) == {
        "predictions": ["It rains."]
    }


def test_strings_may_be_base64(server: Running) -> None:
    plain, coded = (
        server.ok(f"{MODEL}:predict", {"inputs": [text]}) for text in ("It rains.", {"b64": "SXQgcmFpbnMu"})
    )
    assert plain == coded


def test_a_request_may_change_the_settings_of_the_search(server: Running, export: Path) -> None:
    body = {"signature_name": "translate_nbest", "inputs": {"texts": TEXTS[:1], "beam_size": 3, "max_extra_tokens": 4}}
    found = server.ok(f"{MODEL}:predict", body)["outputs"]
    own = ExportModel(export / "1", {"beam_size": 3, "max_extra_tokens": 4})
    (best,) = own.translator().translate(TEXTS[:1])
    assert len(found["translations"][0]) == 3
    assert found["scores"][0][0] == pytest.approx(best.score, abs=1e-4)


def test_a_missing_hypothesis_has_an_infinite_score(server: Running) -> None:
    body = {"signature_name": "translate_nbest", "inputs": {"texts": [""]}}
    found = server.ok(f"{MODEL}:predict", body)["outputs"]
    assert found["scores"][0][1] == -math.inf


@pytest.mark.parametrize("signature", ["translate_prefix", "translate_glossary", "score", "align", "translate_sample"])
def test_other_signatures_return_what_the_export_returns(server: Running, export: Path, signature: str) -> None:
    given: dict[str, Any] = {
        "translate_prefix": {"texts": TEXTS[:2], "prefixes": ["Es", ""]},
        "translate_glossary": {"texts": TEXTS[:1], "source_terms": ["rains"], "target_terms": ["regnet"]},
        "score": {"texts": TEXTS[:1], "targets": ["Es regnet."]},
        "align": {"texts": TEXTS[:1], "targets": ["Es regnet."]},
        "translate_sample": {"texts": TEXTS[:1], "seeds": [3]},
    }[signature]
    found = server.ok(f"{MODEL}:predict", {"signature_name": signature, "inputs": given})["outputs"]
    loaded = ExportModel(export / "1", {}).saved_model
    expected = getattr(loaded, signature)(**given)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        flat = np.ravel(np.array(found[name]))
        if values.dtype == tf.string:
            assert [text for text in flat if text] == [text.decode() for text in values.numpy().ravel() if text]
        else:
            assert flat[flat != 0] == pytest.approx(values.numpy()[values.numpy() != 0], abs=1e-4)


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        (b"{", 400, "not valid JSON"),
        (b"[]", 400, "must be a JSON object"),
        (b"{}", 400, 'either "instances" or "inputs"'),
        (b'{"instances": ["a"], "inputs": ["a"]}', 400, 'either "instances" or "inputs"'),
        (b'{"instances": []}', 400, "not empty"),
        (b'{"instances": [{"texts": "a"}, {"text": "b"}]}', 400, "the same inputs"),
        (b'{"inputs": {"text": ["a"]}}', 400, "there is no input text; there are: texts"),
        (b'{"signature_name": "translate", "inputs": {"beam_size": 2}}', 400, "the input texts is missing"),
        (b'{"inputs": [1]}', 400, "takes only string values"),
        (b'{"inputs": [["a"]]}', 400, "has 2 axes; the signature takes 1"),
        (b'{"inputs": [["a"], "b"]}', 400, "different depth"),
        (
            b'{"signature_name": "translate", "inputs": {"texts": ["a"], "beam_size": 1.5}}',
            400,
            "takes only int32 values",
        ),
        (b'{"signature_name": "translate", "inputs": {"texts": ["a"], "beam_size": 99999999999}}', 400, "too large"),
        (
            b'{"signature_name": "translate", "inputs": {"texts": ["a"], "beam_size": 0}}',
            400,
            "it must be from 1 to 32",
        ),
        (
            b'{"signature_name": "translate", "inputs": {"texts": ["a"], "beam_size": [2]}}',
            400,
            "has 1 axes; the signature takes 0",
        ),
        (b'{"inputs": [{"b64": "?"}]}', 400, "is not base64"),
        (b'{"signature_name": "score", "inputs": ["a"]}', 400, "several inputs; name them: targets, texts"),
        (b'{"signature_name": "score", "inputs": {"texts": ["a"], "targets": []}}', 400, "differ in length"),
        (b'{"signature_name": "detokenize", "inputs": [[999999]]}', 400, ""),
        (b'{"signature_name": "\\ud800", "inputs": ["a"]}', 404, "there is no signature"),
        (b'{"inputs": ' + b"[" * 900 + b"]" * 900 + b"}", 400, "nested too deeply"),
        (
            b'{"signature_name": "translate", "inputs": {"texts": ["a"], "beam_size": 33}}',
            400,
            "it must be from 1 to 32",
        ),
        (
            b'{"signature_name": "score", "inputs": {"texts": ["a"], "targets": ["' + b"a" * 4001 + b'"]}}',
            413,
            "targets",
        ),
        (
            b'{"signature_name": "translate_glossary", "inputs":'
            b'{"texts": ["a"], "source_terms": ["a"], "target_terms": []}}',
            400,
            "differ in length",
        ),
        (b'{"signature_name": "nope", "inputs": ["a"]}', 404, "there is no signature nope"),
        (b'{"signature_name": ["score"], "inputs": ["a"]}', 404, "there is no signature"),
    ],
)
def test_wrong_requests_are_refused_with_a_reason(server: Running, body: bytes, status: int, reason: str) -> None:
    response = server.post(f"{MODEL}:predict", content=body)
    assert response.status_code == status
    assert reason in response.json()["error"]


@pytest.mark.parametrize("path", ["/v1/models/nope", "/v1/models/export/versions/2", "/v1/models/nope/metadata"])
def test_unknown_models_and_versions_are_not_found(server: Running, path: str) -> None:
    response = server.get(path)
    assert response.status_code == 404
    assert "error" in response.json()
    assert server.post("/v1/models/nope:predict", {"inputs": ["a"]}).status_code == 404
