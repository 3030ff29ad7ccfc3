"""The routes with which the page looks into the training of a run: `nmt serve --inside`."""

import math
from typing import TYPE_CHECKING, Any

from fastapi import APIRouter, Request
from pydantic import Field

from keras_nmt.app.errors import UserError
from keras_nmt.app.inside.errors import MissingCheckpointError
from keras_nmt.app.server.engine.service import Service
from keras_nmt.app.server.engine.versions import Direction
from keras_nmt.app.server.errors import NotFoundError, RequestError
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.page_api import (
    MAX_EXPLAINED_CHARACTERS,
    MAX_SENTENCE_CHARACTERS,
    DirectedRequest,
)

if TYPE_CHECKING:  # the server imports no training code unless a run is open
    from keras_nmt.app.inside.inspected_run import InspectedRun
    from keras_nmt.app.inside.step import StepFigures, WeightFigures

DIGITS = 6  # significant digits of numbers in an answer

routes = APIRouter(prefix="/api/inside", tags=["nmt"])


class StepToTake(DirectedRequest):
    """A request for a training step on one example, from a checkpoint."""

    step: int = Field(ge=0, examples=[720], description="Step of the checkpoint.")
    sentence: str = Field(examples=["Good morning."], max_length=MAX_EXPLAINED_CHARACTERS)
    reference: str = Field(
        default="",
        examples=["Guten Morgen."],
        max_length=MAX_SENTENCE_CHARACTERS,
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

    `metrics` has the training loss in nats a token by step, of at most 500 points; each is the mean of the steps since
    the point before. `dev` has the results on the dev set by step.
    """
    service.admit(request)
    inspected_run = open_run(service)
    found: dict[str, Any] = await service.answer(request, service.threads.run(inspected_run.history))
    return found


@routes.post("/step")
async def step(request: Request, body: StepToTake, service: CurrentService) -> dict[str, Any]:
    """Makes one training step on one example from a checkpoint, and returns its figures. Nothing is stored.

    The loss, the gradient clipping, the learning rate and the optimizer with its state are those of the run. There is
    no dropout, and all is computed in float32. Losses and log-probabilities are in nats, one for each target piece.

    `gradients` has an entry for each weight: the Euclidean norm of its gradient (before clipping; null if it is
    frozen), of the weight before the step, and of the update. `boxes` are the ids of its boxes in the page's picture;
    the shared embeddings belong to several. `layer` is counted from 0, and null for weights outside of the layers.
    """
    direction = inspected_direction(service, request, body, [body.sentence, body.reference])
    inspected_run = open_run(service)
    work = service.threads.run(step_answer, inspected_run, direction, body)
    return await service.answer(request, work)


def inspected_direction(service: Service, request: Request, body: DirectedRequest, texts: list[str]) -> Direction:
    """Admits a request, checks the size of its texts and returns the direction of the model, of any task."""
    service.admit(request)
    service.limits.check(texts)
    direction, _ = service.direction_for(body.source, body.target, texts[0], body.domain)
    return direction


def step_answer(inspected_run: "InspectedRun", direction: Direction, body: StepToTake) -> dict[str, Any]:
    """Makes the step and returns the answer of the route.

    Raises:
        NotFoundError: The run does not have the checkpoint.
        RequestError: The example cannot be read.
    """
    text = direction.encoded(body.sentence).decode()
    try:
        example, figures = inspected_run.take_step(body.step, text, body.reference)
    except MissingCheckpointError as error:
        raise NotFoundError(str(error)) from error
    except UserError as error:
        raise RequestError(str(error)) from error
    spell = inspected_run.pieces
    return {
        "step": body.step,
        "source_pieces": spell(example.source) if inspected_run.has_source else [],
        "target_pieces": spell(example.labels),
        "target_ids": example.labels.tolist(),
        **step_fields(figures),
        "smoothing": inspected_run.settings.label_smoothing,
        "clip_norm": inspected_run.settings.clip_norm,
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
