"""The routes with which the page looks into the training of a run: `nmt serve --inside`."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from fastapi.responses import Response
from pydantic import Field

from keras_nmt.app.decoding.inside.signatures import INSIDE, MOST_TARGET_TOKENS
from keras_nmt.app.errors import UserError
from keras_nmt.app.inside.errors import MissingCheckpointError
from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.engine.versions import Direction
from keras_nmt.app.server.errors import NotFoundError, RequestError
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.inside import (
    SentenceToShow,
    check_ids,
    inspected,
    json_of,
    sentence_fields,
    values_fields,
)

if TYPE_CHECKING:  # the server imports no training code unless a run is open
    from keras_nmt.app.inside.inspected_run import InspectedRun
    from keras_nmt.app.inside.step import StepFigures, WeightFigures

DIGITS = 6  # significant digits of numbers in an answer

routes = APIRouter(prefix="/api/inside", tags=["nmt"])


class SentenceOfCheckpoint(SentenceToShow):
    """A request for what the model of a checkpoint computes for a sentence."""

    step: int = Field(ge=0, examples=[720], description="Step of the checkpoint.")
    target_ids: list[int] = Field(
        default=[],
        max_length=MOST_TARGET_TOKENS,
        examples=[[]],
        description="Target tokens to show instead of the model's output, such as those of another checkpoint.",
    )


class StepToTake(SentenceToShow):
    """A request for a training step on one example, from a checkpoint."""

    step: int = Field(ge=0, examples=[720], description="Step of the checkpoint.")
    reference: str = Field(
        default="",
        examples=["Guten Morgen."],
        description="Output to learn. If it is blank, the model learns its own output. Language models ignore it.",
    )


def open_run(service: Service) -> "InspectedRun":
    """Returns the open run.

    Raises:
        NotFoundError: No run is open.
    """
    if service.inspected_run is None:
        raise NotFoundError("no run is open here; start the server with nmt serve RUN --inside")
    return service.inspected_run


@routes.get("/training")
async def training(request: Request, service: CurrentService) -> dict[str, Any]:
    """Returns the steps of the checkpoints that can be looked into, and the course of the training.

    `learning_rates` has, for each checkpoint, the learning rate of the schedule for the step that follows it.
    `metrics` has the training loss in nats a token by step, of at most 500 points; each is the mean of the steps since
    the point before. `dev` has the results on the dev set by step.
    """
    service.admit(request)
    inspected_run = open_run(service)
    found: dict[str, Any] = await service.answer(request, service.threads.run(inspected_run.history))
    return found


@routes.post("/checkpoint", response_model=dict[str, Any])
async def checkpoint(request: Request, body: SentenceOfCheckpoint, service: CurrentService) -> Response:
    """Returns what the model of a checkpoint computes for a sentence: the answer of `/api/inside`.

    With `target_ids`, all that depends on the target tokens is shown for these tokens, so that the pictures of several
    checkpoints can be compared. The outputs and the search are the checkpoint's own.
    """
    direction = inspected(service, request, body, INSIDE, [body.sentence])
    check_ids("target_ids", body.target_ids, direction.version.architecture)
    work = service.threads.run(checkpoint_json, open_run(service), direction, body)
    return Response(await service.answer(request, work), media_type="application/json")


@routes.post("/step")
async def step(request: Request, body: StepToTake, service: CurrentService) -> dict[str, Any]:
    """Makes one training step on one example from a checkpoint, and returns its figures. Nothing is stored.

    The loss, the gradient clipping, the learning rate and the optimizer with its state are those of the run. There is
    no dropout, and all is computed in float32. Losses and log-probabilities are in nats, one for each target piece.

    `gradients` has an entry for each weight: the Euclidean norm of its gradient (before clipping; null if it is
    frozen), of the weight before the step, and of the update. `boxes` are the ids of its boxes in the page's picture;
    the shared embeddings belong to several. `layer` is counted from 0, and null for weights outside of the layers.
    """
    direction = inspected(service, request, body, INSIDE, [body.sentence, body.reference])
    work = service.threads.run(step_answer, open_run(service), direction, body)
    return await service.answer(request, work)


@contextmanager
def refusing() -> Iterator[None]:
    """Turns the errors of an open run into those of the server.

    Raises:
        NotFoundError: The run does not have the checkpoint.
        RequestError: The checkpoint is damaged, or the example cannot be read.
    """
    try:
        yield
    except MissingCheckpointError as error:
        raise NotFoundError(str(error)) from error
    except UserError as error:
        raise RequestError(str(error)) from error


def checkpoint_json(inspected_run: "InspectedRun", direction: Direction, body: SentenceOfCheckpoint) -> bytes:
    """Returns the answer of the route `checkpoint` as JSON."""
    text = direction.encoded(body.sentence)
    with refusing():
        found = inspected_run.overview(body.step, text.decode(), body.target_ids)
    fields = sentence_fields(direction, text, found.own)
    return json_of({"step": body.step, **fields, **values_fields(found.of_given)})


def step_answer(inspected_run: "InspectedRun", direction: Direction, body: StepToTake) -> dict[str, Any]:
    """Makes the step and returns the answer of the route `step`."""
    with refusing():
        example, figures = inspected_run.take_step(body.step, direction.encoded(body.sentence).decode(), body.reference)
    spell = inspected_run.pieces
    return {
        "step": body.step,
        "source_pieces": spell(example.source) if inspected_run.has_source else [],
        "target_pieces": spell(example.labels),
        "target_ids": example.labels.tolist(),
        **step_fields(figures),
        "smoothing": inspected_run.settings.label_smoothing,
        "clip_norm": inspected_run.settings.clip_norm,
        "weight_decay": inspected_run.settings.weight_decay,
        "optimizer": inspected_run.settings.optimizer,
    }


def step_fields(figures: "StepFigures") -> dict[str, Any]:
    """Returns the figures of a step as fields for JSON."""
    return {
        "token_losses": [rounded(value) for value in figures.losses],
        "token_log_probabilities": [rounded(value) for value in figures.before],
        "token_log_probabilities_after": [rounded(value) for value in figures.after],
        "loss": rounded(figures.loss),
        "learning_rate": rounded(figures.learning_rate),
        "gradient_norm": rounded(figures.gradient_norm),
        "applied": figures.applied,
        "gradients": [weight_fields(weight) for weight in figures.weights],
    }


def weight_fields(weight: "WeightFigures") -> dict[str, Any]:
    """Returns the figures of a weight as fields for JSON."""
    return {
        "name": weight.name,
        "boxes": weight.place.boxes,
        "layer": weight.place.layer,
        "shape": weight.shape,
        "norm": None if weight.gradient is None else rounded(weight.gradient),
        "weight_norm": rounded(weight.weight),
        "update_norm": rounded(weight.update),
    }


def rounded(value: float) -> float | None:
    """Rounds a number to `DIGITS` significant digits. A number that is not finite becomes None: JSON has none."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
