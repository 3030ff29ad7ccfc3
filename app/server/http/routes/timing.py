"""The route with which the page compares the time of self-attention and of a recurrent layer."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field

from keras_nmt.app.decoding.inside.signatures import INSIDE
from keras_nmt.app.server.engine.layer_timing import RUNS, LayerTimes, device_name
from keras_nmt.app.server.http.routes.dependencies import CurrentService
from keras_nmt.app.server.http.routes.inside import inspected
from keras_nmt.app.server.http.routes.page_api import DirectedRequest

MOST_LENGTHS = 8
LONGEST = 1024

routes = APIRouter(prefix="/api/inside", tags=["nmt"])


class LengthsToTime(DirectedRequest):
    """A request for the time that layers of a model's width take for sequences of some lengths."""

    lengths: list[Annotated[int, Field(ge=1, le=LONGEST)]] = Field(
        min_length=1, max_length=MOST_LENGTHS, examples=[[16, 64, 256]]
    )


@routes.post("/timing")
async def timing(request: Request, body: LengthsToTime, service: CurrentService) -> dict[str, Any]:
    """Measures one self-attention layer with the model's width and heads, and an LSTM of this width, on the server.

    The layers have random weights and read one sequence at a time. Each time is that of the fastest of `runs` runs, in
    milliseconds, for the lengths in `lengths`. The longest lengths are left out if the measurement would take too long.
    The server measures each length once. `device` is the name of the processor or GPU.
    """
    direction = inspected(service, request, body, INSIDE, [""])
    sizes = direction.version.architecture
    work = service.threads.run(service.timer.times, sizes.model_width, sizes.heads, body.lengths)
    found = await service.answer(request, work)
    return times_fields(found)


def times_fields(found: Sequence[LayerTimes]) -> dict[str, Any]:
    """Returns measurements, with the name of this machine's device, as JSON values."""
    return {
        "lengths": [times.length for times in found],
        "self_attention": [round(times.self_attention, 4) for times in found],
        "recurrent": [round(times.recurrent, 4) for times in found],
        "runs": RUNS,
        "device": device_name(),
    }
