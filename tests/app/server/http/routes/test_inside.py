"""The interface of *Inside the Transformer*, over HTTP."""

import base64
import json
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_nmt.app.decoding.inside.signatures import KINDS
from keras_nmt.app.models.exports import ExportModel
from keras_nmt.app.server.http.routes.inside import values_json
from tests.app.server.serving import Running

PAIR = {"source": "en", "target": "de"}
SENTENCE = "It rains, and we are here."


@pytest.fixture(scope="module")
def overview(server: Running) -> dict[str, Any]:
    return server.ok("/api/inside", {"sentence": SENTENCE, **PAIR})


def array(value: dict[str, Any]) -> np.ndarray:
    """Decodes an array of floats as a page does."""
    (precision,) = value.keys() - {"shape"}
    data = np.frombuffer(base64.b64decode(value[precision]), {"float16": "<f2", "float32": "<f4"}[precision])
    return data.reshape(value["shape"])


def layer_of(overview: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Returns a request for a layer and the tokens of an overview."""
    ids = {name: overview[name] for name in ("source_ids", "target_ids")}
    return {**ids, "kind": "cross", "layer": 0, "head": 1, **PAIR, **changes}


def test_the_answer_is_that_of_the_signature(overview: dict[str, Any], export: Any) -> None:
    model = ExportModel(export / "1", {})
    found = {name: values.numpy() for name, values in model.signatures["inside"](text=tf.constant(SENTENCE)).items()}
    assert found.keys() == overview.keys() - {"sentence", "is_cut", "translation", "model", "search"}
    for name, values in found.items():
        if getattr(values, "dtype", None) != np.float32:
            assert overview[name] == json.loads(json.dumps(values_json(name, values)))
        else:
            exact = name in ("top_logits", "chosen_logits", "temperatures", "log_normalizers") or "norms" in name
            tolerance = 0 if exact else 1e-3
            np.testing.assert_allclose(array(overview[name]), values, rtol=tolerance, atol=tolerance)
    assert (overview["sentence"], overview["is_cut"]) == (SENTENCE, False)
    assert overview["translation"] == found["beam_output"].decode()
    description = json.loads((export / "1" / "assets.extra" / "nmt.json").read_text())
    assert overview["search"] == {name: description["decoding"][name] for name in ("beam_size", "length_penalty")}
    names = ("encoder_layers", "decoder_layers", "heads", "model_width", "inner_width", "vocabulary_size")
    names = (*names, "normalization", "activation", "word_token", "copying")
    expected = {"task": "translation", "parameters": description["parameters"]}
    assert overview["model"] == {**expected, **{name: description["model"][name] for name in names}}


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_is_shown(server: Running, overview: dict[str, Any], kind: str) -> None:
    found = server.ok("/api/inside/layer", layer_of(overview, kind=kind))
    of_all = array(overview[f"{kind}_attention"])[0, 1]
    np.testing.assert_allclose(array(found["weights"]), of_all, atol=1e-3)
    assert found["head_output"]["shape"] == [len(of_all), overview["model"]["model_width"]]


def test_a_long_text_is_cut_and_said(server: Running) -> None:
    found = server.ok("/api/inside", {"sentence": "we are here and " * 50, **PAIR})
    assert found["is_cut"]
    assert len(found["source_ids"]) <= 64
    assert found["sentence"].startswith("we are here and we are")
    assert len(found["sentence"]) < 800
    assert server.ok("/api/inside", {"sentence": "It rains. It rains.", **PAIR})["is_cut"]


@pytest.mark.parametrize("text", ["\N{GRINNING FACE}", " 1 + 1 \N{GRINNING FACE}", "  ", "1. It rains."])
def test_what_is_copied_is_not_called_cut(server: Running, text: str) -> None:
    found = server.ok("/api/inside", {"sentence": text, **PAIR})
    assert (found["sentence"], found["is_cut"]) == ("It rains." if "rains" in text else "", False)
    assert server.ok("/api/explain", {"sentence": text, **PAIR})["is_cut"] is False


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "both"}, "kind: Input should be 'encoder', 'decoder' or 'cross'"),
        ({"layer": 1}, "layer: expected a number from 0 to 0, got 1"),
        ({"layer": -1}, "layer: expected a number from 0 to 0, got -1"),
        ({"head": 2}, "head: expected a number from 0 to 1, got 2"),
        ({"head": "both"}, "head: Input should be a valid integer, unable to parse string as an integer"),
        ({"source_ids": []}, "source_ids: the model reads a source; give at least one token"),
        ({"target_ids": []}, "target_ids: List should have at least 1 item after validation, not 0"),
        ({"source_ids": [3, 504]}, "source_ids: expected numbers from 0 to 503, got 504"),
        ({"target_ids": [-1]}, "target_ids: expected numbers from 0 to 503, got -1"),
        ({"target_ids": [3] * 97}, "target_ids: List should have at most 96 items after validation, not 97"),
        ({"source": "fr"}, "there is no model for fr-de; there are: en-de"),
    ],
)
def test_a_layer_or_token_that_the_model_does_not_have_is_refused(
    server: Running, overview: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    answer = server.post("/api/inside/layer", layer_of(overview, **changes))
    assert (answer.status_code, answer.json()["error"]) == (400, message)


def test_a_model_without_the_signatures_is_refused(copying_server: Running, overview: dict[str, Any]) -> None:
    requests = {"inside": {"sentence": "a", **PAIR}, "inside_layer": layer_of(overview)}
    for name, fields in requests.items():
        answer = copying_server.post(f"/api/{name.replace('_', '/')}", fields)
        assert answer.status_code == 404
        assert answer.json()["error"].startswith(f"copies has no signature {name}, which this needs; it has: ")


def test_numbers_beyond_float16_become_its_largest_number() -> None:
    values = np.array([1e9, -1e9, -np.inf, 0.1], np.float32)
    found = array(values_json("scores", values))
    np.testing.assert_array_equal(found, np.array([65504, -65504, -np.inf, 0.1], np.float16))
    np.testing.assert_array_equal(array(values_json("top_logits", values)), values)
