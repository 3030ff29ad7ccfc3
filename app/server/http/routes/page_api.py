"""The server's own HTTP interface, which the server's web page uses.

The interface offers streaming, the confidence of each word, alternative continuations, alignments, and the model's
internals.
"""

import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field, model_validator

from keras_nmt.app.decoding.inside.signatures import INSIDE
from keras_nmt.app.decoding.signatures import ALTERNATIVES, EXPLAIN
from keras_nmt.app.server.engine.alignment import align_sentences
from keras_nmt.app.server.engine.batching import call_signature
from keras_nmt.app.server.engine.languages import language_name, source_of
from keras_nmt.app.server.engine.service import AUTO, Service
from keras_nmt.app.server.engine.translation import WORD_START, Sentence, continuations, stream, translate
from keras_nmt.app.server.engine.versions import Direction
from keras_nmt.app.server.errors import RequestError
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.event_streams import EventStream, event
from keras_nmt.app.server.http.routes.surrogates import replace_lone_surrogates
from keras_nmt.app.server.http.routes.tensors_as_json import json_values

MAX_SENTENCE_CHARACTERS = 2_000  # for requests in which the server does not split the sentence
MAX_EXPLAINED_CHARACTERS = 300
END = b"</s>"
BYTE_PIECE = re.compile(rb"<0x[0-9A-F]{2}>")

routes = APIRouter(prefix="/api", tags=["nmt"])


class DirectedRequest(BaseModel):
    """The fields that all requests of this interface have: the two languages and the domain."""

    _without_lone_surrogates = model_validator(mode="before")(replace_lone_surrogates)

    source: str = Field(examples=["en"], description='A language code, or "auto".')
    target: str = Field(examples=["de"])
    domain: str | None = Field(
        default=None, examples=[None], description="Subject of the text: one of the domains that the model knows."
    )


class TextToIdentify(BaseModel):
    """A request to identify the language of a text."""

    _without_lone_surrogates = model_validator(mode="before")(replace_lone_surrogates)

    text: str = Field(examples=["Guten Morgen, wie geht es Ihnen?"])
    source: str = Field(default=AUTO, description="The language that is expected; by default, any that is translated.")


class TextToStream(DirectedRequest):
    """A request to translate a text of any length."""

    text: str = Field(examples=["Good morning. How are you?"])
    words: bool = Field(default=True, description="Return the confidence of each word.")


class TextToTranslate(TextToStream):
    """A request to translate a text of any length, with alternative translations."""

    alternatives: int = Field(default=0, ge=0, le=16, description="Alternative translations of each sentence.")


class PlaceToGoOn(DirectedRequest):
    """A request for translations of a sentence that begin with a prefix."""

    sentence: str = Field(examples=["Good morning."], max_length=MAX_SENTENCE_CHARACTERS)
    prefix: str = Field(default="", examples=["Guten"], max_length=MAX_SENTENCE_CHARACTERS)
    count: int = Field(default=5, ge=1, le=16)


class SentenceToExplain(DirectedRequest):
    """A request for the model's internals. If the sentence is too long, the answer describes only its beginning."""

    sentence: str = Field(examples=["Good morning."], max_length=MAX_EXPLAINED_CHARACTERS)


class GivenTranslation(DirectedRequest):
    """A request to align a sentence with its translation."""

    sentence: str = Field(examples=["Good morning."], max_length=MAX_SENTENCE_CHARACTERS)
    translation: str = Field(examples=["Guten Morgen."], max_length=MAX_SENTENCE_CHARACTERS)


def admitted_direction(service: Service, request: Request, body: DirectedRequest, texts: list[str]) -> Direction:
    """Admits a request, checks the size of its texts and returns the translation direction.

    If the source language is "auto", the first text determines the language.
    """
    service.admit(request)
    service.limits.check(texts)
    return service.outputs_for(body.source, body.target, texts[0], body.domain)


@routes.get("/models")
def models(service: CurrentService) -> list[dict[str, Any]]:
    """Lists the loaded models, with one entry for each language pair of each model.

    `task` has the words of the model's task. Requests for a model of another task than translation name the codes of
    `source` and `target` as they are in its entry, such as "text" and "summary". `training` is true if a run is open
    whose training the page can show. `faster_engine` is true if CTranslate2 translates; what a model computes is always
    shown by TensorFlow, whose output can differ.
    """
    return [
        {
            "name": direction.version.model,
            "version": direction.version.number,
            "task": task_fields(direction),
            "source": {"code": direction.source, "name": language_name(direction.source)},
            "target": {"code": direction.target, "name": language_name(direction.target)},
            "domains": list(direction.version.languages.domains),
            "examples": direction.examples,
            "training": service.inspected_run is not None,
            "faster_engine": direction.version.has_faster_engine,
        }
        for direction in service.models.directions()
    ]


def task_fields(direction: Direction) -> dict[str, Any]:
    """Returns what the page needs to know about the task of a model."""
    task, signatures = direction.task, direction.version.definitions
    return {
        "name": task.name,
        "verb": task.verb,
        "route": task.route,
        "output": task.output,
        "between_languages": task.roles is None,
        "alternatives": task.piece == "sentence" and ALTERNATIVES in signatures,
        "inside": INSIDE in signatures,
        **asdict(task.page),
    }


@routes.post("/detect")
def detect(request: Request, body: TextToIdentify, service: CurrentService) -> dict[str, Any]:
    """Identifies the language of a text: one of those that models translate from, unless the text is in none of them.

    With `source`, the answer is another language only if the text is very improbable in `source`. For a text without
    letters, `confidence` is 0.
    """
    service.admit(request)
    service.limits.check([body.text])
    served = {one.source for one in service.models.translating()}
    sources = served if body.source == AUTO else served & {body.source}
    if not sources:
        raise RequestError(f"no model here translates from {body.source}")
    found = source_of(body.text, sources)
    return {"code": found.language, "name": language_name(found.language), "confidence": found.confidence}


@routes.post("/translate")
async def translate_text(request: Request, body: TextToTranslate, service: CurrentService) -> dict[str, Any]:
    """Translates a text and returns the whole translation and its sentences. Also summarizes and parses.

    A summary is one sentence of the answer, and so is each tree. A parser reads each line as one sentence.
    """
    direction = admitted_direction(service, request, body, [body.text])
    (found,) = await service.answer(
        request,
        translate(service.batcher, direction, [body.text], alternatives=body.alternatives, with_words=body.words),
    )
    sentences = [asdict(sentence) for sentence in found.sentences]
    return {"translation": found.text, "source": direction.source, "sentences": sentences}


@routes.post("/stream", response_class=StreamingResponse)
async def stream_text(request: Request, body: TextToStream, service: CurrentService) -> EventStream:
    """Translates a text. Sends each translated sentence at once, with its index, as a server-sent event.

    The last event is named `end`. If a sentence cannot be translated, it is named `error` instead, and its field
    `error` has the reason.
    """
    direction = admitted_direction(service, request, body, [body.text])
    found = stream(service.batcher, direction, body.text, with_words=body.words)
    return EventStream(sentence_events(found), service.limits.deadline)


@routes.post("/alternatives")
async def alternatives(request: Request, body: PlaceToGoOn, service: CurrentService) -> list[dict[str, Any]]:
    """Returns translations that begin with the prefix and differ in the next token, the most likely first."""
    direction = admitted_direction(service, request, body, [body.sentence, body.prefix])
    if not body.sentence.strip():
        raise RequestError("the sentence is empty")
    work = continuations(service.batcher, direction, body.sentence, body.prefix, body.count)
    return [asdict(sentence) for sentence in await service.answer(request, work)]


@routes.post("/align")
async def align(request: Request, body: GivenTranslation, service: CurrentService) -> dict[str, Any]:
    """Aligns a sentence with its translation.

    Each item of `pairs` has two numbers: the index of a source word, and the index of a target word that translates it.
    `weights` contains the attention of each target word to each source word; empty for a long sentence.
    """
    direction = admitted_direction(service, request, body, [body.sentence, body.translation])
    work = align_sentences(service.batcher, direction, [(body.sentence, body.translation)])
    ((pairs, weights),) = await service.answer(request, work)
    source, target = body.sentence.split(), body.translation.split()
    used = weights[: len(target), : len(source)]
    return {"source": source, "target": target, "pairs": pairs, "weights": used.round(4).tolist()}


@routes.post("/explain", response_model=dict[str, Any])
async def explain(request: Request, body: SentenceToExplain, service: CurrentService) -> Response:
    """Translates a sentence and returns the model's internals: tokens, positions, attention, steps of the search.

    If `is_cut` is true, the model read only the beginning of the sentence. `sentence` then contains this beginning.
    """
    direction = admitted_direction(service, request, body, [body.sentence])
    direction.version.check_signature(EXPLAIN)
    work = service.threads.run(explanation_json, direction, body.sentence)
    return Response(await service.answer(request, work), media_type="application/json")


def explanation_json(direction: Direction, sentence: str) -> bytes:
    """Returns the outputs of the signature `explain` as JSON, with `sentence`, `is_cut` and `translation` added.

    Numbers are rounded to 4 decimals, which is enough for the web page. JSON has no infinity, so -inf becomes -1e9.
    """
    text = direction.encoded(sentence)
    found = call_signature(direction.version, EXPLAIN, {"text": np.array(text, object)})
    source = [piece for piece in found["source_pieces"] if piece != END]
    explanation: dict[str, Any] = {
        "sentence": text_of_pieces(source[len(direction.tags) :]),
        "is_cut": direction.tokens_to_read(text) > len(source),
        "translation": text_of_pieces(piece for piece in found["target_pieces"] if piece != END),
    }
    for name, values in found.items():
        if values.dtype == object:
            explanation[name] = json_values(values, binary=False)
        else:
            explanation[name] = np.nan_to_num(np.asarray(values, np.float64).round(4), neginf=-1e9).tolist()
    return json.dumps(explanation, ensure_ascii=False).encode("utf-8")


def text_of_pieces(pieces: Iterable[bytes]) -> str:
    """Returns the text of SentencePiece pieces. A piece such as <0x41> stands for one byte."""
    text = b"".join(bytes.fromhex(piece[3:5].decode()) if BYTE_PIECE.fullmatch(piece) else piece for piece in pieces)
    return text.decode("utf-8", "replace").replace(WORD_START, " ").strip()


async def sentence_events(found: AsyncIterator[tuple[int, Sentence]]) -> AsyncGenerator[str, None]:
    """Yields one server-sent event for each pair of the index of a sentence and the translated sentence, then "end"."""
    async for number, sentence in found:
        yield event({"number": number, **asdict(sentence)})
    yield event({}, kind="end")
