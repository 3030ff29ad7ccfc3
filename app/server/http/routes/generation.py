"""The route of the server's own interface that continues a prompt with a language model."""

import secrets
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field, StringConstraints, model_validator

from keras_nmt.app.decoding.generation.generator import Part
from keras_nmt.app.server.engine.generation import SEEDS, Prompt, Writer, WrittenText
from keras_nmt.app.server.engine.versions import Version
from keras_nmt.app.server.errors import RequestError
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.event_streams import EventStream, event
from keras_nmt.app.server.http.routes.surrogates import replace_lone_surrogates

MAX_TOKENS = 2048  # of one text
SETTINGS = ("temperature", "top_k", "top_p", "max_tokens", "no_repeat_ngram_size", "repetition_penalty")
StopString = Annotated[str, StringConstraints(min_length=1, max_length=200)]

routes = APIRouter(prefix="/api", tags=["nmt"])


class TextToContinue(BaseModel):
    """A request to continue a prompt."""

    _without_lone_surrogates = model_validator(mode="before")(replace_lone_surrogates)

    prompt: str = Field(default="", examples=["Once upon a time"], description="A new text begins if it is empty.")
    model: str | None = Field(default=None, description="Name of the model; the first language model by default.")
    temperature: float = Field(
        default=1.0, ge=0, le=100, allow_inf_nan=False, description="0 always takes the most probable token."
    )
    top_k: int = Field(
        default=0, ge=0, le=2**31 - 1, description="Number of most probable tokens to draw from; 0: all."
    )
    top_p: float = Field(
        default=1.0, ge=0.0001, le=1, description="Draw from the fewest tokens that have this probability together."
    )
    max_tokens: int = Field(default=200, ge=1, le=MAX_TOKENS)
    no_repeat_ngram_size: int | None = Field(
        default=None,
        ge=0,
        le=64,
        description="Length of token sequences that must not occur twice; 0 allows repetition. Default: the model's.",
    )
    repetition_penalty: float | None = Field(
        default=None, ge=0.01, le=10, description="Above 1, used tokens are less likely. The model's by default."
    )
    samples: int = Field(default=1, ge=1, le=16, description="Number of texts; each has the next seed.")
    seed: int | None = Field(
        default=None, ge=0, lt=SEEDS, description="Equal seeds draw equal texts. Random by default."
    )
    stop: Annotated[list[StopString], Field(max_length=16)] = Field(
        default=[], examples=[[]], description="Strings before which the text ends."
    )
    stream: bool = Field(default=False, examples=[False], description="Send each part of the text at once.")
    alternatives: int = Field(default=0, ge=0, le=32, description="Most probable tokens to return for each place.")

    def prompts(self) -> list[Prompt]:
        """Returns the prompt once for each sample, with its seed."""
        first = secrets.randbelow(SEEDS) if self.seed is None else self.seed
        settings = {name: value for name in SETTINGS if (value := getattr(self, name)) is not None}
        return [
            Prompt(self.prompt, (first + number) % SEEDS, settings, tuple(self.stop), self.alternatives)
            for number in range(self.samples)
        ]


@routes.post("/generate", response_model=dict[str, Any])
async def generate(request: Request, body: TextToContinue, service: CurrentService) -> dict[str, Any] | EventStream:
    """Continues a prompt with a language model.

    A part of a text is a token, or several that are one character together. It has its probability under the model, and
    the tokens that the model finds most probable in its place; the text of one that would end the text is empty. The
    reason why a text ends is `length` (it has `max_tokens` tokens), `stop` (a string in `stop` follows) or `end` (the
    model ends it).

    With `stream`, the answer is server-sent events: one for each part, then an event `end` with the seed and the
    reason. If the text cannot be completed, the last event is `error` instead, and its field `error` says why.
    """
    service.admit(request)
    service.limits.check([body.prompt, *body.stop])
    version = service.generating(body.model)
    prompts = body.prompts()
    if not body.stream:
        texts = await service.answer(request, service.writer.write(version, prompts))
        found = [text_fields(text) for text in texts]
        return {"model": version.model, "version": version.number, "texts": found}
    if body.samples > 1:
        raise RequestError("a stream has one text; leave out samples, or set stream to false")
    service.writer.check_room(1)  # a refusal that comes later is an event of the stream
    return EventStream(part_events(service.writer, version, prompts[0]), service.limits.deadline)


def text_fields(text: WrittenText) -> dict[str, Any]:
    """Returns a continuation as fields for JSON."""
    parts = [part_fields(part) for part in text.parts]
    return {"text": text.text, "seed": text.seed, "reason": text.reason, "parts": parts}


def part_fields(part: Part) -> dict[str, Any]:
    """Returns a part of a text as fields for JSON. Probabilities have 4 decimals, and small ones 2 digits."""
    return {
        "text": part.text,
        "probability": rounded(part.probability),
        "alternatives": [{"text": one.text, "probability": rounded(one.probability)} for one in part.alternatives],
    }


def rounded(probability: float) -> float:
    """Rounds a probability to 4 decimals, or to 2 digits if it is smaller than 0.001."""
    return round(probability, 4) if probability >= 0.001 else float(f"{probability:.1e}")


async def part_events(writer: Writer, version: Version, prompt: Prompt) -> AsyncGenerator[str, None]:
    """Yields one server-sent event for each part of the text that continues a prompt, then "end"."""
    with writer.admitted(1):
        async with aclosing(writer.chunks(version, prompt)) as chunks:
            async for chunk in chunks:
                for part in chunk.parts:
                    yield event(part_fields(part))
                if chunk.reason:
                    yield event({"reason": chunk.reason, "seed": prompt.seed}, kind="end")
