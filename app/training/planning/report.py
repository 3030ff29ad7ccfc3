"""Formats the plan of a training for `nmt train --plan`: about twenty lines of text, or JSON."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict

from keras_nmt.app.training.memory.accumulation import GIB
from keras_nmt.app.training.planning.plan import DataPlan, MemoryPlan, ModelPlan, Plan, Speed

SHOWN_SHAPES = 6
INDENT = 11


def as_json(plan: Plan) -> str:
    """Returns the plan as one JSON object with the fields of `Plan`."""
    shapes = [{**each.shape._asdict(), "share": each.share} for each in plan.data.shapes]
    found = asdict(plan)
    found["data"]["shapes"] = shapes
    found["memory"]["largest_batch"] = plan.memory.largest_batch._asdict()
    return json.dumps(found, ensure_ascii=False)


def as_text(plan: Plan) -> str:
    """Returns the plan as lines of text. The last line has no line end."""
    return "\n".join(
        f"{'' if number else title:<{INDENT}}{line}"
        for title, lines in _parts(plan)
        for number, line in enumerate(lines)
    )


def _parts(plan: Plan) -> Iterator[tuple[str, Iterable[str]]]:
    yield "model", _model(plan.model)
    yield "processor", _processor(plan.model)
    yield "data", _data(plan)
    yield "shapes", _shapes(plan.data)
    yield "memory", _memory(plan.memory, len(plan.model.devices))
    yield "speed", _speed(plan.speed)
    yield "time", [f"{_duration(plan.hours)} for {plan.steps:,} steps, evaluations on the dev set not counted"]


def _model(model: ModelPlan) -> Iterator[str]:
    count = sum(model.parameters.values())
    parts = ", ".join(f"{name} {number:,}" for name, number in model.parameters.items())
    frozen = count - model.trainable_parameters
    yield f"{count:,} parameters: {parts}" + (f"; {frozen:,} are frozen" if frozen else "")
    names = sorted(set(model.devices))
    yield f"{model.precision} on " + ", ".join(f"{model.devices.count(name)} {name}" for name in names)


def _processor(model: ModelPlan) -> Iterator[str]:
    yield f"{model.processor}: {model.processor_settings}"


def _data(plan: Plan) -> Iterator[str]:
    data = plan.data
    yield f"{data.training_pairs:,} training pairs, {data.skipped_pairs:,} longer than {data.max_length} tokens"
    yield f"{plan.steps:,} steps are {plan.epochs:,.1f} epochs of {data.batches:,} batches"
    yield (
        f"a step has {data.source_tokens:,.0f} source and {data.target_tokens:,.0f} target tokens; "
        f"{data.padding_share:.1%} of a batch is padding"
    )


def _shapes(data: DataPlan) -> Iterator[str]:
    yield f"{len(data.shapes)} in an epoch; rows x source x target tokens, and share of the batches:"
    shown = data.shapes[:SHOWN_SHAPES]
    for each in shown:
        rows, source, target = each.shape
        yield f"{rows:>6} x {source:>3} x {target:>3} {each.share:>7.1%}"
    others = len(data.shapes) - len(shown)
    if others:
        yield f"{f'{others} others':>18} {sum(each.share for each in data.shapes[SHOWN_SHAPES:]):>7.1%}"


def _memory(memory: MemoryPlan, devices: int) -> Iterator[str]:
    rows, source, target = memory.largest_batch
    parts = "" if memory.accumulation == 1 else f", in {memory.accumulation} parts one after another"
    yield f"{_gib(memory.estimated)} estimated at most, {_gib(memory.measured)} measured, {_gib(memory.there)} there"
    yield f"for a batch of {rows} x {source} x {target}{parts}:"
    if memory.program:
        yield f"{_gib(memory.program):>10}  program"
    each = f" on each of {devices} devices" if devices > 1 else ""
    for name, size in vars(memory.estimated_parts).items():
        if size:
            yield f"{_gib(size):>10}  {name}{each}"


def _speed(speed: Speed) -> Iterator[str]:
    yield f"{speed.target_tokens_per_second:,.0f} target tokens/s, measured over {speed.steps} steps"
    if speed.compilations:
        count = "1 compilation" if speed.compilations == 1 else f"{speed.compilations} compilations"
        yield f"{count} of about {speed.compile_seconds:.0f} s, one for each shape"


def _gib(size: int) -> str:
    return f"{size / GIB:,.2f} GiB"


def _duration(hours: float) -> str:
    if hours < 1:
        return f"{60 * hours:.0f} minutes"
    return f"{hours:,.1f} hours" if hours < 72 else f"{hours / 24:,.1f} days"
