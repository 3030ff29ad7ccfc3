"""The routes that show the training of a run."""

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from tests.app.command_line import tree
from tests.app.server.serving import Running

SENTENCE = {"sentence": "It rains.", "source": "en", "target": "de"}
STEP = {"step": 2, **SENTENCE, "reference": "Es regnet."}


def test_the_history_has_checkpoints_losses_and_dev_results(open_server: Running, folder: Path) -> None:
    found = open_server.ok("/api/inside/training")
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert found["checkpoints"] == [0, 2, 4]
    rates = [0.02 * 32**-0.5 * rate for rate in (2**-1.5, 3**-0.5, 5**-0.5)]  # Noam, 2 steps of warm-up
    assert found["learning_rates"] == pytest.approx(rates, rel=1e-4)
    assert found["metrics"] == {"step": [1, 2, 3, 4], "loss": [line["loss"] for line in logged]}
    assert found["dev"].keys() == {"step", "dev_loss", "dev_perplexity", "dev_bleu"}
    assert found["dev"]["step"] == [2, 4]
    assert [model["training"] for model in open_server.ok("/api/models")] == [True]


def test_a_step_has_the_figures_of_each_token_and_weight(open_server: Running, folder: Path) -> None:
    before = tree(folder)
    found = open_server.ok("/api/inside/step", STEP)
    assert "".join(found["target_pieces"]).replace("▁", " ").strip() == "Es regnet.</s>"
    assert found["source_pieces"][-1] == "</s>"
    for name in ("target_ids", "token_losses", "token_log_probabilities", "token_log_probabilities_after"):
        assert len(found[name]) == len(found["target_pieces"])
    assert found["loss"] == pytest.approx(sum(found["token_losses"]) / len(found["token_losses"]), rel=1e-4)
    assert sum(found["token_log_probabilities_after"]) > sum(found["token_log_probabilities"])
    settings = {name: found[name] for name in ("step", "smoothing", "clip_norm", "weight_decay", "optimizer")}
    assert settings == {"step": 2, "smoothing": 0.1, "clip_norm": 0.0, "weight_decay": 0.0, "optimizer": "adam"}
    assert found["learning_rate"] == pytest.approx(0.02 * 32**-0.5 * 3**-0.5, rel=1e-4)
    assert found["applied"] is True
    weights = {weight["name"]: weight for weight in found["gradients"]}
    assert weights["embedding/embeddings"]["boxes"] == ["source-embedding", "target-embedding", "linear"]
    assert weights["embedding/embeddings"]["shape"] == [504, 32]
    query = weights["decoder/layer_0/cross_attention/query/kernel"]
    assert (query["boxes"], query["layer"], query["shape"]) == (["cross-attention"], 0, [32, 32])
    assert found["gradient_norm"] == pytest.approx(sum(one["norm"] ** 2 for one in weights.values()) ** 0.5, rel=1e-4)
    assert all(one["norm"] >= 0 < one["update_norm"] for one in weights.values())
    assert tree(folder) == before


def test_without_a_reference_the_model_learns_its_own_output(open_server: Running, folder: Path) -> None:
    blank = open_server.ok("/api/inside/step", {**STEP, "step": 4, "reference": " "})
    said = open_server.ok("/api/explain", SENTENCE)
    assert blank["target_pieces"] == said["target_pieces"]  # the export is of step 4
    first = open_server.ok("/api/inside/step", {**STEP, "step": 0, "reference": ""})
    assert first["target_ids"] != blank["target_ids"]


def decoded(values: Any) -> Any:
    """Floats that the server sent in base64 as an array, other values as they are."""
    if not isinstance(values, dict) or "shape" not in values:
        return values
    (precision,) = values.keys() - {"shape"}
    found = np.frombuffer(base64.b64decode(values[precision]), np.dtype(precision).newbyteorder("<"))
    return found.astype(np.float64).reshape(values["shape"])


def test_the_last_checkpoint_shows_what_its_export_shows(open_server: Running) -> None:
    found = open_server.ok("/api/inside/checkpoint", {**SENTENCE, "step": 4})
    expected = open_server.ok("/api/inside", SENTENCE)
    assert found.pop("step") == 4
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if isinstance(values, dict) and "shape" in values:
            np.testing.assert_allclose(decoded(found[name]), decoded(values), rtol=1e-2, atol=1e-3, err_msg=name)
        else:
            assert found[name] == values, name


def test_maps_of_two_checkpoints_can_be_for_the_same_target(open_server: Running) -> None:
    last = open_server.ok("/api/inside/checkpoint", {**SENTENCE, "step": 4})
    ids = last["target_ids"]
    first = open_server.ok("/api/inside/checkpoint", {**SENTENCE, "step": 0})
    assert first["target_ids"] != ids
    given = open_server.ok("/api/inside/checkpoint", {**SENTENCE, "step": 0, "target_ids": ids})
    assert (given["target_ids"], given["target_pieces"]) == (ids, last["target_pieces"])
    assert given["translation"] == first["translation"]
    assert decoded(given["cross_attention"]).shape == decoded(last["cross_attention"]).shape
    assert not np.allclose(decoded(given["cross_attention"]), decoded(last["cross_attention"]), atol=1e-2)
    same = open_server.ok("/api/inside/checkpoint", {**SENTENCE, "step": 4, "target_ids": ids})
    np.testing.assert_allclose(decoded(same["decoder_norms"]), decoded(last["decoder_norms"]), rtol=1e-2)


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"step": 3}, 404, "run has no checkpoint of step 3; there are: 0, 2, 4"),
        ({"step": 4, "target_ids": [504]}, 400, "target_ids: expected numbers from 0 to 503, got 504"),
        ({"step": 4, "target_ids": [5] * 97}, 400, "target_ids: List should have at most 96 items"),
        ({}, 400, "step: Field required"),
    ],
)
def test_wrong_requests_for_a_checkpoint_are_refused_with_a_reason(
    open_server: Running, fields: dict[str, Any], status: int, reason: str
) -> None:
    response = open_server.post("/api/inside/checkpoint", {**SENTENCE, **fields})
    assert response.status_code == status
    assert reason in response.json()["error"]


@pytest.mark.parametrize(
    ("fields", "status", "reason"),
    [
        ({"step": 3}, 404, "run has no checkpoint of step 3; there are: 0, 2, 4"),
        ({"step": -1}, 400, "step: Input should be greater than or equal to 0"),
        ({"step": "last"}, 400, "step: Input should be a valid integer"),
        ({"sentence": "  "}, 400, "the sentence has nothing that the model reads"),
        ({"sentence": "", "reference": ""}, 400, "the sentence has nothing that the model reads"),
        ({"reference": "a" * 50_001}, 413, "50010 characters in one request; at most 50000 are allowed"),
        ({"target": "fr"}, 400, "there is no model for en-fr; there are: en-de"),
    ],
)
def test_wrong_requests_are_refused_with_a_reason(
    open_server: Running, fields: dict[str, Any], status: int, reason: str
) -> None:
    response = open_server.post("/api/inside/step", {**STEP, **fields})
    assert (response.status_code, response.json()) == (status, {"error": response.json()["error"]})
    assert reason in response.json()["error"]


def test_a_checkpoint_that_the_training_has_deleted_is_not_found(open_server: Running, folder: Path) -> None:
    kept = folder / "checkpoints" / "step-00000002"
    kept.rename(folder / "checkpoints" / "removed")
    try:
        for route in ("step", "checkpoint"):
            response = open_server.post(f"/api/inside/{route}", {**SENTENCE, "step": 2})
            reason = "run has no checkpoint of step 2; there are: 0, 4"
            assert (response.status_code, response.json()["error"]) == (404, reason)
        assert open_server.ok("/api/inside/training")["checkpoints"] == [0, 4]
    finally:
        (folder / "checkpoints" / "removed").rename(kept)


def test_without_an_open_run_the_routes_say_how_to_open_one(server: Running) -> None:
    reason = {"error": "no run is open here; start the server with nmt serve RUN --inside"}
    answers: list[httpx.Response] = [
        server.get("/api/inside/training"),
        server.post("/api/inside/step", STEP),
        server.post("/api/inside/checkpoint", {**SENTENCE, "step": 2}),
    ]
    for answer in answers:
        assert (answer.status_code, answer.json()) == (404, reason)
    assert [model["training"] for model in server.ok("/api/models")] == [False]
