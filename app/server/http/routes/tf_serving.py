"""TensorFlow Serving's REST interface, so that clients of TensorFlow Serving work with this server.

The paths are `/v1/models/NAME`, `/v1/models/NAME/metadata` and `/v1/models/NAME:predict`. In each path, `/versions/N`
may follow the name. Requests for other parts of the interface get an error that says what to use instead.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from keras_nmt.app.decoding.signatures import (
    ALTERNATIVES,
    DEFAULT,
    GENERATE,
    GLOSSARY,
    N_BEST,
    PREFIX,
    SAMPLE,
    SCORE,
    TRANSLATE,
)
from keras_nmt.app.server.engine.alignment import MAX_ALIGNED, can_be_aligned
from keras_nmt.app.server.engine.batching import ROW_INPUTS, SignatureRow, call_signature
from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.engine.versions import Version
from keras_nmt.app.server.errors import NotFoundError, RequestError, TooLargeError
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.tensors_as_json import body_of_outputs, inputs_of_body, metadata_of

# The signatures whose rows (one per text) can be batched. In other signatures, output shapes differ from row to row.
BATCHED = (DEFAULT, TRANSLATE, N_BEST, PREFIX, ALTERNATIVES, SAMPLE, GLOSSARY, SCORE, GENERATE)
MAX_STRING_BYTES = 4_000  # for strings that are not split into sentences
MAX_BEAMS = 64  # beam size times number of alternatives, for one text
RANGES = {
    "beam_size": (1, 32),
    "alternatives": (1, 16),
    "samples": (1, 32),
    "max_extra_tokens": (0, 256),
    "no_repeat_ngram_size": (0, 64),
    "length_penalty": (-10, 10),
    "repetition_penalty": (0.01, 100),
    "min_tokens": (0, 256),
    "temperature": (0.001, 100),
    "top_k": (0, 2**31 - 1),
    "top_p": (0.0001, 1),
    "max_tokens": (0, 1024),
}
GENERATION_RANGES = {"max_tokens": (1, 2048)}
GREEDY = 0  # a temperature below its range; only `generate` takes the most probable token instead of drawing one
MAX_GENERATED = 2**16  # tokens that one request may ask for, as a batch cannot be cancelled
UNSPLIT_STRINGS = ("targets", "prefixes", "text", "source_terms", "target_terms")
BY_TOKEN = ("pieces", "token_log_probabilities")  # outputs whose last axis is T, the tokens
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

routes = APIRouter(tags=["TensorFlow Serving"])


class BareNumbersResponse(Response):
    """JSON response that may contain -Infinity without quotation marks, as TensorFlow Serving writes it.

    -Infinity is the score of a missing hypothesis. FastAPI's own JSON response refuses infinite numbers.
    """

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        """Returns the content as JSON."""
        return json.dumps(content, ensure_ascii=False).encode("utf-8")


@routes.get("/v1/models/{name}")
@routes.get("/v1/models/{name}/versions/{number}")
def status(service: CurrentService, name: str, number: int | None = None) -> JSONResponse:
    """Returns the state of the version in the path, or of all versions that were loaded or failed to load."""
    return JSONResponse({"model_version_status": status_of(service, name, number)})


@routes.get("/v1/models/{name}/metadata")
@routes.get("/v1/models/{name}/versions/{number}/metadata")
def metadata(service: CurrentService, name: str, number: int | None = None) -> JSONResponse:
    """Returns the inputs and outputs of a model's signatures."""
    version = service.models.get(name, number)
    return JSONResponse(metadata_of(name, version.number, version.definitions))


@routes.post("/v1/models/{name}:predict", openapi_extra=PREDICT_BODY)
@routes.post("/v1/models/{name}/versions/{number}:predict", openapi_extra=PREDICT_BODY)
async def predict(request: Request, service: CurrentService, name: str, number: int | None = None) -> Response:
    """Runs a signature. Example bodies: `{"instances": ["Good day."]}`, `{"signature_name": …, "inputs": {…}}`."""
    service.admit(request)
    version = service.models.get(name, number)
    try:
        body = await request.json()
    except (ValueError, RecursionError) as error:
        raise RequestError("the body is not valid JSON") from error
    signature = signature_in(body, version)
    try:
        inputs, by_rows = inputs_of_body(body, version.definitions[signature])
    except RecursionError as error:
        raise RequestError("the body is nested too deeply") from error
    texts = [text.decode("utf-8", "replace") for values in inputs.values() for text in strings_of(values)]
    service.limits.check(texts)
    if signature == GENERATE:
        check_generated(inputs, version.defaults_of(GENERATE))
    check_inputs(inputs)
    if version.task.piece == "line":  # the graph neither splits nor cuts such texts
        check_length("texts", inputs)
    outputs = await service.answer(request, run_signature(service, version, signature, inputs))
    return BareNumbersResponse(body_of_outputs(outputs, by_rows=by_rows))


@routes.post("/v1/models/{name}:classify", include_in_schema=False)
@routes.post("/v1/models/{name}:regress", include_in_schema=False)
@routes.post("/v1/models/{name}/versions/{number}:classify", include_in_schema=False)
@routes.post("/v1/models/{name}/versions/{number}:regress", include_in_schema=False)
def other_verb(request: Request, service: CurrentService, name: str, number: int | None = None) -> None:
    """Refuses classification and regression. The error message names the path for translation."""
    service.admit(request)
    version = service.models.get(name, number)
    raise RequestError(f"{name} has no signature for this; use /v1/models/{name}/versions/{version.number}:predict")


@routes.get("/v1/models/{name}/labels/{label}", include_in_schema=False)
@routes.get("/v1/models/{name}/labels/{label}/metadata", include_in_schema=False)
@routes.post("/v1/models/{name}/labels/{label}", include_in_schema=False)
def labelled(service: CurrentService, name: str, label: str) -> None:
    """Refuses a version label, because versions have only numbers on this server."""
    version = service.models.get(name)
    raise NotFoundError(
        f"versions have no labels, such as {label.partition(':')[0]}; leave it out for the newest version, or "
        f"use /v1/models/{name}/versions/{version.number}"
    )


def status_of(service: Service, name: str, number: int | None) -> list[dict[str, Any]]:
    """Returns the states of a model's loaded version and of the versions that could not be loaded, the newest first.

    Args:
        service: Service with the models.
        name: Name of the model.
        number: Number of the only version to return; None returns all.

    Raises:
        NotFoundError: The model does not exist, or version `number` is neither loaded nor failed to load.
    """
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


def signature_in(body: Any, version: Version) -> str:
    """Returns the name of the signature in a request's body, or `DEFAULT` if the body contains no name.

    Raises:
        NotFoundError: The version has no such signature.
    """
    signature = (body.get("signature_name") or DEFAULT) if isinstance(body, Mapping) else DEFAULT
    if not isinstance(signature, str) or signature not in version.definitions:
        raise NotFoundError(f"there is no signature {signature}; there are: {', '.join(version.definitions)}")
    return signature


def strings_of(values: np.ndarray | None) -> list[bytes]:
    """Returns all strings of an input as a flat list, or [] if the input is missing or contains numbers."""
    return values.ravel().tolist() if values is not None and values.dtype == object else []


def check_inputs(inputs: Mapping[str, np.ndarray]) -> None:
    """Checks the inputs of a signature.

    Args:
        inputs: Values in the request, by the name of the input.

    Raises:
        RequestError: A number is outside the range that `RANGES` or, for `prompts`, `GENERATION_RANGES` contains for
            the input, `alternatives` times
            `beam_size` is greater than `MAX_BEAMS`, or `source_terms` and `target_terms` differ in length.
        TooLargeError: A string is too long, or a text and its target are together too long for an alignment.
    """
    for name, (least, most) in {**RANGES, **(GENERATION_RANGES if "prompts" in inputs else {})}.items():
        if name == "temperature" and "prompts" in inputs and inputs.get(name) == GREEDY:
            continue
        if name in inputs and not least <= float(inputs[name]) <= most:
            raise RequestError(f"{name} is {inputs[name]}; it must be from {least} to {most}")
    if int(inputs.get("alternatives", 1)) * int(inputs.get("beam_size", 1)) > MAX_BEAMS:
        raise RequestError(f"alternatives times beam_size must be at most {MAX_BEAMS}")
    check_string_lengths(inputs)
    if len({len(inputs[name]) for name in ("source_terms", "target_terms") if name in inputs}) > 1:
        raise RequestError("source_terms and target_terms differ in length")


def check_generated(inputs: dict[str, np.ndarray], defaults: Mapping[str, Any]) -> None:
    """Checks the number of tokens that a request wants generated.

    Raises:
        RequestError: The number is too large.
    """
    texts, tokens = (int(inputs.get(name, defaults[name])) for name in ("samples", "max_tokens"))
    if (wanted := len(inputs["prompts"]) * texts * tokens) > MAX_GENERATED:
        raise RequestError(f"prompts times samples times max_tokens is {wanted}; it must be at most {MAX_GENERATED}")


def check_string_lengths(inputs: Mapping[str, np.ndarray]) -> None:
    """Checks the length of strings that are not split into sentences.

    Raises:
        TooLargeError: A string has more than `MAX_STRING_BYTES` bytes, or the lengths of a text and its target have a
            product greater than `MAX_ALIGNED`.
    """
    texts, targets = (strings_of(inputs.get(name)) for name in ("texts", "targets"))
    for name in UNSPLIT_STRINGS:
        check_length(name, inputs)
    if {"targets", "prefixes"} & inputs.keys() and any(len(text) > MAX_STRING_BYTES for text in texts):
        raise TooLargeError(f"a string in texts may have at most {MAX_STRING_BYTES} bytes here")
    if not all(can_be_aligned(text, target) for text, target in zip(texts, targets, strict=False)):
        raise TooLargeError(f"the bytes of a text times those of its target may be at most {MAX_ALIGNED}")


def check_length(name: str, inputs: Mapping[str, np.ndarray]) -> None:
    """Raises `TooLargeError` if a string in the input `name` has more than `MAX_STRING_BYTES` bytes."""
    if any(len(text) > MAX_STRING_BYTES for text in strings_of(inputs.get(name))):
        raise TooLargeError(f"a string in {name} may have at most {MAX_STRING_BYTES} bytes")


async def run_signature(
    service: Service, version: Version, signature: str, inputs: Mapping[str, np.ndarray]
) -> Mapping[str, np.ndarray]:
    """Runs a signature and returns its outputs.

    The rows of a signature in `BATCHED` may share a batch with rows of other requests. Other signatures run separately.

    Raises:
        RequestError: The inputs have different numbers of rows.
    """
    rows = {name: values for name, values in inputs.items() if name in ROW_INPUTS}
    lengths = {len(values) for values in rows.values()}
    if len(lengths) > 1:
        raise RequestError(f"the inputs {', '.join(sorted(rows))} differ in length")
    if signature not in BATCHED or lengths == {0}:
        return await service.threads.run(call_signature, version, signature, inputs)
    settings = {
        name: tuple(values.tolist()) if values.ndim else values.item()
        for name, values in inputs.items()
        if name not in ROW_INPUTS
    }
    by_row = [dict(zip(rows, values, strict=True)) for values in zip(*rows.values(), strict=True)]
    return stacked(await service.batcher.run(version, signature, by_row, settings))


def stacked(rows: Sequence[SignatureRow]) -> dict[str, np.ndarray]:
    """Stacks the outputs of a request's rows into one array for each output.

    The token axis is as long as the longest row of the request. The length of the batch's token axis has no influence.
    """
    if "pieces" in rows[0]:
        longest = max(1, *(int((row["pieces"] != b"").sum(axis=-1).max()) for row in rows))
        rows = [{**row, **{name: resized(row[name], longest) for name in BY_TOKEN}} for row in rows]
    return {name: np.array([row[name] for row in rows]) for name in rows[0]}


def resized(values: np.ndarray, length: int) -> np.ndarray:
    """Cuts or pads the last axis of `values` [..., T] to `length`. The part that is cut off must be padding."""
    missing = [(0, 0)] * (values.ndim - 1) + [(0, max(0, length - values.shape[-1]))]
    padding: Any = b"" if values.dtype == object else 0
    return np.pad(values[..., :length], missing, constant_values=padding)
