"""The interface of *Inside the Transformer*: what a model computes for one sentence.

Arrays of floats are sent as `{"shape": [2, 3], "float16": "…"}` with the values in base64, little endian, row by row.
Those of which probabilities are computed, and norms, have "float32" instead. Integers and strings are lists.
"""

import base64
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from keras_nmt.app.decoding.inside.signatures import (
    INSIDE,
    INSIDE_LAYER,
    KINDS,
    MOST_SOURCE_TOKENS,
    MOST_TARGET_TOKENS,
)
from keras_nmt.app.decoding.signatures import DETOKENIZE
from keras_nmt.app.models.architecture import Architecture
from keras_nmt.app.server.engine.batching import call_signature
from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.engine.versions import Direction, Version
from keras_nmt.app.server.errors import RequestError
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.page_api import END, DirectedRequest, text_of_pieces
from keras_nmt.app.server.http.routes.tensors_as_json import json_values
from keras_nmt.pipelines.trees.pieces import WORD_PIECE

# A probability at a low temperature needs more digits than float16 has. Norms are compared with those of whole vectors.
EXACT = {"top_logits", "chosen_logits", "temperatures", "log_normalizers", "encoder_norms", "decoder_norms"}

routes = APIRouter(prefix="/api/inside", tags=["nmt"])


class SentenceToShow(DirectedRequest):
    """A request for what the model computes for a sentence. A long sentence is cut."""

    sentence: str = Field(examples=["Good morning."])


class LayerToShow(DirectedRequest):
    """A request for what one layer and attention head compute, for tokens that `/api/inside` returned."""

    source_ids: list[int] = Field(default=[], max_length=MOST_SOURCE_TOKENS)
    target_ids: list[int] = Field(min_length=1, max_length=MOST_TARGET_TOKENS)
    kind: Literal["encoder", "decoder", "cross"]
    layer: int = Field(description="Number of the layer, from 0.")
    head: int = Field(description="Number of the attention head, from 0.")


@routes.post("", response_model=dict[str, Any])
async def inside(request: Request, body: SentenceToShow, service: CurrentService) -> Response:
    """Applies the model to a sentence and returns what all its layers compute; see the signature `inside`.

    For a language model, the sentence is the prompt. If `is_cut` is true, the model read only the beginning of the
    sentence. `sentence` then contains this beginning.
    """
    direction = inspected(service, request, body, INSIDE, [body.sentence])
    work = service.threads.run(sentence_json, direction, body.sentence)
    return Response(await service.answer(request, work), media_type="application/json")


@routes.post("/layer", response_model=dict[str, Any])
async def layer(request: Request, body: LayerToShow, service: CurrentService) -> Response:
    """Returns what one layer and attention head compute for given tokens; see the signature `inside_layer`."""
    direction = inspected(service, request, body, INSIDE_LAYER, [""])
    check_layer(body, direction.version.architecture)
    work = service.threads.run(layer_json, direction.version, body)
    return Response(await service.answer(request, work), media_type="application/json")


def inspected(service: Service, request: Request, body: DirectedRequest, signature: str, texts: list[str]) -> Direction:
    """Admits a request and returns the direction of a model of any task that has the signature."""
    service.admit(request)
    service.limits.check(texts)
    direction, _ = service.direction_for(body.source, body.target, texts[0], body.domain)
    direction.version.check_signature(signature)
    return direction


def check_layer(body: LayerToShow, architecture: Architecture) -> None:
    """Checks that the model has the layer, the head and the tokens that a request names.

    Raises:
        RequestError: The model does not have them.
    """
    if not architecture.encoder_layers and (body.kind != "decoder" or body.source_ids):
        raise RequestError('this model has no encoder; use the kind "decoder", and leave out source_ids')
    if architecture.encoder_layers and not body.source_ids:
        raise RequestError("source_ids: the model reads a source; give at least one token")
    stack = "encoder" if body.kind == "encoder" else "decoder"
    sizes = {"layer": getattr(architecture, f"{stack}_layers"), "head": architecture.heads}
    for name, size in sizes.items():
        if not 0 <= getattr(body, name) < size:
            raise RequestError(f"{name}: expected a number from 0 to {size - 1}, got {getattr(body, name)}")
    for name in ("source_ids", "target_ids"):
        check_ids(name, getattr(body, name), architecture)


def check_ids(name: str, ids: Sequence[int], architecture: Architecture) -> None:
    """Raises `RequestError` if a number in the field `name` is not the id of a piece."""
    for number in ids:
        if not 0 <= number < architecture.vocabulary_size:
            raise RequestError(f"{name}: expected numbers from 0 to {architecture.vocabulary_size - 1}, got {number}")


def sentence_json(direction: Direction, sentence: str) -> bytes:
    """Returns the outputs of the signature `inside` as JSON; see `sentence_fields`."""
    text = direction.encoded(sentence)
    found = call_signature(direction.version, INSIDE, {"text": np.array(text, object)})
    return json_of(sentence_fields(direction, text, found))


def sentence_fields(direction: Direction, text: bytes, found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Returns the outputs of `inside` for a text, with the sizes of the model, its search, and what it has read."""
    options = direction.version.export.options
    shown, tokens = read_prompt(direction, found) if "prompt_tokens" in found else read_source(direction, found)
    return {
        "sentence": shown,
        "is_cut": direction.tokens_to_read(text) > tokens,
        "translation": json_values(found.get("beam_output", found["greedy_output"]), binary=False),
        "model": {"task": direction.task.name, **asdict(direction.version.architecture)},
        "search": {"beam_size": options.beam_size, "length_penalty": options.length_penalty},
        **values_fields(found),
    }


def values_fields(found: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Converts outputs of a signature to JSON values, by name."""
    return {name: values_json(name, values) for name, values in found.items()}


def read_source(direction: Direction, found: Mapping[str, np.ndarray]) -> tuple[str, int]:
    """Returns the source that a model has read, without tags, and its number of tokens, with tags."""
    markers = {END, WORD_PIECE.encode()}
    source = [piece for piece in found["source_pieces"] if piece not in markers]
    return text_of_pieces(source[len(direction.tags) :]), len(source)


def read_prompt(direction: Direction, found: Mapping[str, np.ndarray]) -> tuple[str, int]:
    """Returns the prompt that a language model has read, and its number of tokens."""
    count = int(found["prompt_tokens"])
    (text,) = call_signature(direction.version, DETOKENIZE, {"ids": found["target_ids"][np.newaxis, :count]})["texts"]
    return text.decode("utf-8", "replace"), count


def layer_json(version: Version, body: LayerToShow) -> bytes:
    """Returns the outputs of the signature `inside_layer` as JSON."""
    ids = {"source_ids": body.source_ids} if body.source_ids else {}
    numbers = {"kind": KINDS.index(body.kind), "layer": body.layer, "head": body.head}
    found = call_signature(version, INSIDE_LAYER, {**ids, "target_ids": body.target_ids, **numbers})
    return json_of(values_fields(found))


def values_json(name: str, values: np.ndarray | np.generic | bytes) -> Any:
    """Converts an output of a signature to JSON values; see the module.

    Numbers that are too large for float16 become its largest number; -inf is kept.
    """
    if not isinstance(values, np.ndarray) or values.dtype != np.float32:
        return json_values(values, binary=False)  # a scalar is no array
    precision = "float32" if name in EXACT else "float16"
    largest = np.finfo(precision).max
    finite = np.where(np.isfinite(values), np.clip(values, -largest, largest), values)
    encoded = base64.b64encode(finite.astype(f"<f{np.dtype(precision).itemsize}").tobytes()).decode()
    return {"shape": list(values.shape), precision: encoded}


def json_of(fields: Mapping[str, Any]) -> bytes:
    """Returns fields as JSON in UTF-8."""
    return json.dumps(fields, ensure_ascii=False).encode("utf-8")
