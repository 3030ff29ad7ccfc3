"""TensorFlow Serving's REST interface, so that its clients find the same here."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from app.decoding.signatures import ALTERNATIVES, DEFAULT, GLOSSARY, N_BEST, PREFIX, SAMPLE, SCORE, TRANSLATE
from app.server.engine.batching import ROWS, Row, call
from app.server.engine.service import Service
from app.server.engine.translation import MOST_ALIGNED, can_be_aligned
from app.server.engine.versions import Version
from app.server.errors import NotFoundError, RequestError, TooLargeError
from app.server.http.tensors_as_json import body_of_outputs, inputs_of_body, metadata_of

BATCHED = (
    DEFAULT,
    TRANSLATE,
    N_BEST,
    PREFIX,
    ALTERNATIVES,
    SAMPLE,
    GLOSSARY,
    SCORE,
)  # the others have rows of unlike shapes
MOST_BYTES = 4_000  # of a string that is not split into sentences
MOST_BEAMS = 64  # of a text
BY_TOKEN = ("pieces", "token_log_probabilities")
PREDICT_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "signature_name": {"type": "string", "default": DEFAULT},
                        "instances": {"type": "array", "items": {}},
                        "inputs": {},
                    },
                },
                "example": {"instances": ["Good morning."]},
            }
        },
    }
}


class BareNumbersResponse(Response):
    """JSON with -Infinity as TensorFlow Serving writes it, bare: the score of a hypothesis that is not there."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """The content as JSON."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8")


def tf_serving_routes(service: Service) -> APIRouter:
    """`/v1/models/NAME`, its `/metadata` and `:predict`, each also below `/versions/N`; why there is no more."""
    routes = APIRouter(tags=["TensorFlow Serving"])

    @routes.get("/v1/models/{name}")
    @routes.get("/v1/models/{name}/versions/{number}")
    def status(name: str, number: int | None = None) -> JSONResponse:
        """Which versions of a model are loaded."""
        return JSONResponse({"model_version_status": status_of(service, name, number)})

    @routes.get("/v1/models/{name}/metadata")
    @routes.get("/v1/models/{name}/versions/{number}/metadata")
    def metadata(name: str, number: int | None = None) -> JSONResponse:
        """What a model's signatures take and give."""
        version = service.models.get(name, number)
        return JSONResponse(metadata_of(name, version.number, version.definitions))

    @routes.post("/v1/models/{name}:predict", openapi_extra=PREDICT_BODY)
    @routes.post("/v1/models/{name}/versions/{number}:predict", openapi_extra=PREDICT_BODY)
    async def predict(request: Request, name: str, number: int | None = None) -> Response:
        """Runs a signature: `{"instances": ["Good morning."]}`, or `{"signature_name": …, "inputs": {…}}`."""
        service.admit(request)
        version = service.models.get(name, number)
        try:
            body = await request.json()
        except (ValueError, RecursionError) as error:
            raise RequestError("the body is no JSON") from error
        signature = (body.get("signature_name") or DEFAULT) if isinstance(body, Mapping) else DEFAULT
        if not isinstance(signature, str) or signature not in version.definitions:
            raise NotFoundError(f"there is no signature {signature}; there are: {', '.join(version.definitions)}")
        try:
            inputs, by_rows = inputs_of_body(body, version.definitions[signature])
        except RecursionError as error:
            raise RequestError("the body is nested too deeply") from error
        texts = [text.decode("utf-8", "replace") for values in inputs.values() for text in strings_of(values)]
        service.limits.check(texts)
        check_settings(inputs)
        outputs = await service.answer(request, run(service, version, signature, inputs))
        return BareNumbersResponse(body_of_outputs(outputs, by_rows=by_rows))

    @routes.post("/v1/models/{name}:classify", include_in_schema=False)
    @routes.post("/v1/models/{name}:regress", include_in_schema=False)
    @routes.post("/v1/models/{name}/versions/{number}:classify", include_in_schema=False)
    @routes.post("/v1/models/{name}/versions/{number}:regress", include_in_schema=False)
    def other_verb(request: Request, name: str, number: int | None = None) -> None:
        """Says that a translation is neither a class nor a number."""
        service.admit(request)
        version = service.models.get(name, number)
        raise RequestError(f"{name} has no signature for this; use /v1/models/{name}/versions/{version.number}:predict")

    @routes.get("/v1/models/{name}/labels/{label}", include_in_schema=False)
    @routes.get("/v1/models/{name}/labels/{label}/metadata", include_in_schema=False)
    @routes.post("/v1/models/{name}/labels/{label}", include_in_schema=False)
    def labelled(name: str, label: str) -> None:
        """Says that versions have numbers alone."""
        version = service.models.get(name)
        raise NotFoundError(
            f"versions have no labels here, such as {label.partition(':')[0]}; leave it out for the newest version, or "
            f"use /v1/models/{name}/versions/{version.number}"
        )

    return routes


def status_of(service: Service, name: str, number: int | None) -> list[dict[str, Any]]:
    """The state of a model's versions, as TensorFlow Serving tells it: the loaded one, and those that failed."""
    served = service.models.served.get(name)
    if served is None:
        raise NotFoundError(f"there is no model {name}; there are: {', '.join(service.models.names())}")
    states = {failed: ("END", "UNKNOWN", reason) for failed, (reason, _) in list(served.failed.items())}
    if served.current:
        states[served.current.number] = ("AVAILABLE", "OK", "")
    if number is not None and number not in states:
        raise NotFoundError(f"version {number} of {name} is not loaded")
    return [
        {"version": str(n), "state": state, "status": {"error_code": code, "error_message": message}}
        for n, (state, code, message) in sorted(states.items(), reverse=True)
        if number in (None, n)
    ]


def strings_of(values: np.ndarray) -> list[bytes]:
    """The strings of an input; of numbers there are none."""
    return values.ravel().tolist() if values.dtype == object else []


def check_settings(inputs: Mapping[str, np.ndarray]) -> None:
    """Refuses settings that no search can work with.

    Raises:
        RequestError: One is out of its range.
    """
    ranges = {
        "beam_size": (1, 32),
        "alternatives": (1, 16),
        "samples": (1, 32),
        "max_extra_tokens": (0, 256),
        "no_repeat_ngram_size": (0, 64),
        "length_penalty": (-10, 10),
        "repetition_penalty": (0.01, 100),
        "temperature": (0.001, 100),
        "top_k": (0, 2**31 - 1),
        "top_p": (0.0001, 1),
    }
    for name, (least, most) in ranges.items():
        if name in inputs and not least <= float(inputs[name]) <= most:
            raise RequestError(f"{name} is {inputs[name]}; it must be from {least} to {most}")
    if int(inputs.get("alternatives", 1)) * int(inputs.get("beam_size", 1)) > MOST_BEAMS:
        raise RequestError(f"alternatives times beam_size may be {MOST_BEAMS}")
    for name in ("targets", "prefixes", "text", "source_terms", "target_terms"):  # none of them is translated in pieces
        if any(len(text) > MOST_BYTES for text in strings_of(inputs.get(name, np.zeros(0)))):
            raise TooLargeError(f"a string of {name} may have {MOST_BYTES} bytes")
    if {"targets", "prefixes"} & inputs.keys() and any(len(text) > MOST_BYTES for text in strings_of(inputs["texts"])):
        raise TooLargeError(f"a string of texts may have {MOST_BYTES} bytes here")
    pairs = zip(
        strings_of(inputs.get("texts", np.zeros(0))), strings_of(inputs.get("targets", np.zeros(0))), strict=False
    )
    if not all(can_be_aligned(text, target) for text, target in pairs):
        raise TooLargeError(f"the bytes of a text times those of its target may be {MOST_ALIGNED}")
    if len({len(inputs[name]) for name in ("source_terms", "target_terms") if name in inputs}) > 1:
        raise RequestError("source_terms and target_terms are of unlike length")


async def run(
    service: Service, version: Version, signature: str, inputs: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
    """The outputs of a signature, in a batch with other requests' where it can be."""
    rows = {name: values for name, values in inputs.items() if name in ROWS}
    lengths = {len(values) for values in rows.values()}
    if len(lengths) > 1:
        raise RequestError(f"the inputs {', '.join(sorted(rows))} are of unlike length")
    if signature not in BATCHED or lengths == {0}:
        return await service.side_work.run(call, version, signature, inputs)
    settings = {
        name: tuple(values.tolist()) if values.ndim else values.item()
        for name, values in inputs.items()
        if name not in ROWS
    }
    of_each = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    return stacked(await service.batcher.run(version, signature, of_each, settings))


def stacked(rows: Sequence[Row]) -> dict[str, np.ndarray]:
    """The answers of a request's rows as arrays, as long as their longest needs: no other request shows in them."""
    if "pieces" in rows[0]:
        longest = max(1, *(int((row["pieces"] != b"").sum(axis=-1).max()) for row in rows))
        rows = [{**row, **{name: fitted(row[name], longest) for name in BY_TOKEN}} for row in rows]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def fitted(values: np.ndarray, length: int) -> np.ndarray:
    """The values [..., T] with so many in the last axis: those at the end are padding, or padding is added."""
    more = [(0, 0)] * (values.ndim - 1) + [(0, max(0, length - values.shape[-1]))]
    padding: Any = b"" if values.dtype == object else 0
    return np.pad(values[..., :length], more, constant_values=padding)
