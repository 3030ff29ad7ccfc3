"""The server's own interface, which its page uses: words with confidences, other ways to go on, alignments, streams."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np
from fastapi import APIRouter, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import BaseModel, Field, model_validator

from app.decoding.signatures import EXPLAIN
from app.server.engine.batching import call
from app.server.engine.languages import name_of
from app.server.engine.service import Service
from app.server.engine.translation import WORD_START, Sentence, aligned, continuations, stream, translate
from app.server.engine.versions import Direction
from app.server.errors import RequestError
from app.server.http.tensors_as_json import plain_values
from app.server.http.whole_text import whole

MOST_CHARACTERS = 2_000  # of a sentence that is not split any further
MOST_EXPLAINED = 300  # characters
END = b"</s>"
BYTE = re.compile(rb"<0x[0-9A-F]{2}>")  # a piece that is a byte


class Pair(BaseModel):
    """Two languages."""

    _whole = model_validator(mode="before")(whole)

    source: str = Field(examples=["en"], description='A language\'s code, or "auto".')
    target: str = Field(examples=["de"])
    domain: str | None = Field(
        default=None, examples=[None], description="What the text is about, of the domains that the model knows."
    )


class TextToStream(Pair):
    """A text of any length."""

    text: str = Field(examples=["Good morning. How are you?"])
    words: bool = Field(default=True, description="Whether the confidences of the words are told.")


class TextToTranslate(TextToStream):
    """A text of any length, and how many translations of it."""

    alternatives: int = Field(default=0, ge=0, le=16, description="Further translations of each sentence.")


class PlaceToGoOn(Pair):
    """One sentence and the beginning of its translation."""

    sentence: str = Field(examples=["Good morning."], max_length=MOST_CHARACTERS)
    prefix: str = Field(default="", examples=["Guten"], max_length=MOST_CHARACTERS)
    count: int = Field(default=5, ge=1, le=16)


class SentenceToExplain(Pair):
    """One sentence; of a long one the first piece that the model can take is shown."""

    sentence: str = Field(examples=["Good morning."], max_length=MOST_EXPLAINED)


class GivenTranslation(Pair):
    """One sentence and its translation."""

    sentence: str = Field(examples=["Good morning."], max_length=MOST_CHARACTERS)
    translation: str = Field(examples=["Guten Morgen."], max_length=MOST_CHARACTERS)


def page_routes(service: Service) -> APIRouter:
    """`/api/models`, `/api/translate`, `/api/stream`, `/api/alternatives`, `/api/align` and `/api/explain`."""
    routes = APIRouter(prefix="/api", tags=["nmt"])

    def admitted(request: Request, pair: Pair, texts: list[str]) -> Direction:
        service.admit(request)
        service.limits.check(texts)
        return service.direction_for(pair.source, pair.target, texts[0], pair.domain)[0]

    @routes.get("/models")
    def models() -> list[dict[str, Any]]:
        """The models that answer, one of several pairs of languages once for each."""
        return [
            {
                "name": direction.version.model,
                "version": direction.version.number,
                "source": {"code": direction.source, "name": name_of(direction.source)},
                "target": {"code": direction.target, "name": name_of(direction.target)},
                "domains": list(direction.version.languages.domains),
                "examples": direction.examples,
            }
            for direction in service.models.directions()
        ]

    @routes.post("/translate")
    async def translate_text(request: Request, asked: TextToTranslate) -> dict[str, Any]:
        """Translates a text and tells its sentences."""
        direction = admitted(request, asked, [asked.text])
        (found,) = await service.answer(
            request,
            translate(
                service.batcher, direction, [asked.text], alternatives=asked.alternatives, with_words=asked.words
            ),
        )
        sentences = [asdict(sentence) for sentence in found.sentences]
        return {"translation": found.text, "source": direction.source, "sentences": sentences}

    @routes.post("/stream", response_class=StreamingResponse)
    async def stream_text(request: Request, asked: TextToStream) -> StreamingResponse:
        """Sends each sentence of a long text as soon as it is translated, as a server-sent event with its number."""
        direction = admitted(request, asked, [asked.text])
        found = stream(service.batcher, direction, asked.text, with_words=asked.words)
        within = service.limits.deadline
        return StreamingResponse(
            events(found, within),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},  # or a proxy would hold them back
        )

    @routes.post("/alternatives")
    async def alternatives(request: Request, asked: PlaceToGoOn) -> list[dict[str, Any]]:
        """Ways in which the translation of a sentence can go on behind its beginning, the likeliest first."""
        direction = admitted(request, asked, [asked.sentence, asked.prefix])
        if not asked.sentence.strip():
            raise RequestError("the sentence is empty")
        work = continuations(service.batcher, direction, asked.sentence, asked.prefix, asked.count)
        return [asdict(sentence) for sentence in await service.answer(request, work)]

    @routes.post("/align")
    async def align(request: Request, asked: GivenTranslation) -> dict[str, Any]:
        """Which words of a translation come from which of the sentence, and how much each looks at each."""
        direction = admitted(request, asked, [asked.sentence, asked.translation])
        work = aligned(service.batcher, direction, [(asked.sentence, asked.translation)])
        ((pairs, weights),) = await service.answer(request, work)
        source, target = asked.sentence.split(), asked.translation.split()
        used = weights[: len(target), : len(source)]
        return {"source": source, "target": target, "pairs": pairs, "weights": used.round(4).tolist()}

    @routes.post("/explain", response_model=dict[str, Any])
    async def explain(request: Request, asked: SentenceToExplain) -> Response:
        """What goes on inside while a sentence is translated: tokens, positions, attention, and the search's steps.

        `is_cut` says that `sentence`, which was read, is but the beginning of what was asked for.
        """
        direction = admitted(request, asked, [asked.sentence])
        direction.version.check_knows(EXPLAIN)
        work = service.side_work.run(explained, direction, asked.sentence)
        return Response(await service.answer(request, work), media_type="application/json")

    return routes


def explained(direction: Direction, sentence: str) -> bytes:
    """The explanation of a sentence as JSON; numbers have as many digits as a picture shows, and none is infinite.

    To what the signature gives it adds the translation, and the text that was read, with whether that is all of it.
    """
    text = direction.encoded(sentence)
    found = call(direction.version, EXPLAIN, {"text": np.array(text, object)})
    source = [piece for piece in found["source_pieces"] if piece != END]
    plain: dict[str, Any] = {
        "sentence": spelt(source[len(direction.tags) :]),
        "is_cut": direction.version.token_counts([text])[0] > len(source),
        "translation": spelt(piece for piece in found["target_pieces"] if piece != END),
    }
    for name, values in found.items():
        if values.dtype == object:
            plain[name] = plain_values(values, binary=False)
        else:
            plain[name] = np.nan_to_num(np.asarray(values, np.float64).round(4), neginf=-1e9).tolist()
    return json.dumps(plain, ensure_ascii=False).encode("utf-8")


def spelt(pieces: Iterable[bytes]) -> str:
    """The text that pieces of a vocabulary make."""
    whole = b"".join(bytes.fromhex(piece[3:5].decode()) if BYTE.fullmatch(piece) else piece for piece in pieces)
    return whole.decode("utf-8", "replace").replace(WORD_START, " ").strip()


async def events(found: AsyncIterator[tuple[int, Sentence]], seconds: float) -> AsyncIterator[str]:
    """Server-sent events, and one at the end: "end", or "error" where not all could be translated in time."""
    try:
        async with asyncio.timeout(seconds):
            async for number, sentence in found:
                yield f"data: {json.dumps({'number': number, **asdict(sentence)}, ensure_ascii=False)}\n\n"
    except (RequestError, TimeoutError) as error:
        reason = str(error) or f"not answered within {seconds:g} s"
        yield f"event: error\ndata: {json.dumps({'error': reason}, ensure_ascii=False)}\n\n"
        return
    yield "event: end\ndata: {}\n\n"
