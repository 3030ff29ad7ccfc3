"""`nmt train --minutes`: chooses the number of steps that fit a given time, then trains as `nmt train` does.

The speed is measured with a model that is thrown away. The chosen numbers go into the run's configuration before it
begins, so the run is the one that the same numbers give without a time, and it is resumed in the same way.
"""

import gc
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from app.config import Configuration, TrainingConfig
from app.errors import UserError
from app.runs.directory import RunDirectory
from app.runtime.console import say
from app.runtime.signals import StopSignals
from app.training.building import build_on_devices
from app.training.callbacks.monitoring import dev_loss
from app.training.callbacks.profiling import ProfiledSteps
from app.training.data_sets import DataSets
from app.training.dev_sets import dev_sentences, dev_translator
from app.training.machines.distribution import mirrored_strategy
from app.training.memory.accumulation import reporting_exhausted_memory, with_accumulation
from app.training.planning.plan import measure
from app.training.resolving import resolve
from app.training.resume import require_free_or_run
from app.training.train import train
from app.training.trainer import Trainer
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import reporting_data_errors, verify_shards
from pipelines.streaming.batching import NumpyBatch
from pipelines.vocabulary.tokenizer import PAD

CHOSEN = ("steps", "warmup_steps", "checkpoint_every")
MEASURED_BATCHES = 8  # of various shapes, which differ in speed
AVERAGED_BATCHES = 100  # their mean size is within 2% of an epoch's
EVALUATED_PART = 4  # the dev loss is measured on one of so many parts of the dev set
MEASURED_SENTENCES = 200  # translated at least, if there are so many: a few take almost as long as one batch of many
EXTRA_TOKENS = 10  # a measured translation may be so much longer than its source
FEWEST_STEPS = 20
MOST_EVALUATION = 0.25  # share of the time
MOST_WARMUP = 0.125  # share of the steps
USED = 0.95  # share of the time: checkpoints are not measured, and speed varies


@dataclass(frozen=True)
class Measured:
    """The speed of a training on this machine.

    Attributes:
        target_tokens_per_second: In steps whose shapes had been seen before.
        step_seconds: Time of a mean step.
        start_seconds: Time until steps run at that speed: building, tracing and compiling.
        evaluation_seconds: Time of one evaluation on the dev set.
    """

    target_tokens_per_second: float
    step_seconds: float
    start_seconds: float
    evaluation_seconds: float


@dataclass(frozen=True)
class TimeBudget:
    """The time that a training may take.

    Attributes:
        minutes: How long, the measurement included.
        started: The `time.perf_counter()` at which it began.
        most_steps: Trains no more steps than this, however many would fit; None for no limit.
    """

    minutes: float
    started: float
    most_steps: int | None = None

    def seconds_left(self) -> float:
        """Seconds until it ends."""
        return self.minutes * 60 - (time.perf_counter() - self.started)


def train_within(
    budget: TimeBudget,
    data_dir: Path,
    out: Path,
    sections: Mapping[str, Mapping[str, Any]],
    origin: str,
    *,
    profile: ProfiledSteps | None = None,
) -> RunDirectory | None:
    """Trains as many steps as fit the time; a run that is there goes on with the numbers that it began with.

    Args:
        budget: The time. A run that goes on ignores it.
        data_dir: As `train` takes it; so are the other arguments.

    Raises:
        UserError: As `train` raises it; or the time is too short.
    """
    if RunDirectory.is_run(out):
        chosen, facts = kept_numbers(RunDirectory.open(out))
    else:
        require_free_or_run(out)
        with StopSignals():
            chosen, facts = choose_numbers(budget, data_dir, out, sections, origin)
    numbers = {name: getattr(chosen, name) for name in CHOSEN}
    sections = {**sections, "training": {**sections.get("training", {}), **numbers}}
    return train(data_dir, out, sections, origin, profile=profile, facts=facts)


def kept_numbers(run: RunDirectory) -> tuple[TrainingConfig, dict[str, Any]]:
    """Returns the settings of a run that goes on, and what its manifest says of the time."""
    settings = run.configuration.training
    say(f"{run.path}: keeps the {settings.steps:,} steps that it was begun with; to measure anew choose another --out")
    name = "time_budget"
    return settings, {name: run.manifest[name]} if name in run.manifest else {}


def choose_numbers(
    budget: TimeBudget, data_dir: Path, out: Path, sections: Mapping[str, Mapping[str, Any]], origin: str
) -> tuple[TrainingConfig, dict[str, Any]]:
    """Measures, and returns the settings of a new run and what its manifest shall say."""
    measured, settings = measure_training(data_dir, sections, origin)
    gc.collect()  # frees the measured model, which is part of reference cycles
    chosen = settings_within(budget.seconds_left(), settings, measured, most_steps=budget.most_steps)
    within = "less than " if chosen.steps == budget.most_steps else ""
    speed = f"{measured.target_tokens_per_second:,.0f} target tokens/s"
    say(f"{out}: {speed}; {chosen.steps:,} steps in {within}{budget.minutes:.3g} minutes")
    return chosen, {"time_budget": {"minutes": budget.minutes, **asdict(measured)}}


def settings_within(
    seconds: float, settings: TrainingConfig, measured: Measured, *, most_steps: int | None = None
) -> TrainingConfig:
    """Returns the settings with as many steps as fit, and with warm-up and checkpoints that suit them.

    Checkpoints stay the same share of the steps apart, unless their evaluations would take over a quarter of the time.

    Raises:
        UserError: Fewer than 20 steps fit.
    """
    usable = USED * seconds - measured.start_seconds
    evaluations = math.ceil(settings.steps / settings.checkpoint_every)
    evaluations = max(1, min(evaluations, int(MOST_EVALUATION * usable / measured.evaluation_seconds)))
    steps = int((usable - evaluations * measured.evaluation_seconds) / measured.step_seconds)
    if steps < FEWEST_STEPS:
        raise UserError(
            f"{max(0, steps)} steps fit the time, of {measured.step_seconds:.2g} seconds each, and a training needs "
            f"{FEWEST_STEPS}; give more --minutes, or a smaller --preset or training.batch_tokens"
        )
    steps = min(steps, most_steps or steps)
    return replace(
        settings,
        steps=steps,
        warmup_steps=max(1, min(settings.warmup_steps, int(MOST_WARMUP * steps))),
        checkpoint_every=math.ceil(steps / evaluations),
    )


def measure_training(
    data_dir: Path, sections: Mapping[str, Mapping[str, Any]], origin: str
) -> tuple[Measured, TrainingConfig]:
    """Trains a model for some steps, evaluates it, and returns its speed beside the settings it was trained with."""
    started = time.perf_counter()
    manifest = Manifest.load(data_dir)
    verify_shards(manifest)
    strategy = mirrored_strategy()
    configuration = with_accumulation(resolve(sections, origin, manifest), manifest, strategy.num_replicas_in_sync)
    settings = configuration.training
    data = DataSets.open(manifest, settings)
    with reporting_data_errors(), reporting_exhausted_memory(settings.accumulation):
        trainer = build_on_devices(strategy, configuration)
        batches: list[NumpyBatch] = list(data.stream(0).take(AVERAGED_BATCHES).as_numpy_iterator())
        evaluation_seconds, spent = time_evaluation(trainer, configuration, data)
        speed = measure(trainer, batches[: 1 + MEASURED_BATCHES])
    start_seconds = time.perf_counter() - started - spent - speed.seconds
    shapes = {(inputs["source"].shape, labels.shape) for inputs, labels, *_ in batches}
    mean_tokens = sum((labels != PAD).sum() for _, labels, *_ in batches) / len(batches)
    measured = Measured(
        target_tokens_per_second=speed.target_tokens_per_second,
        step_seconds=float(mean_tokens) / speed.target_tokens_per_second,
        start_seconds=start_seconds + len(shapes) * speed.compile_seconds,
        evaluation_seconds=evaluation_seconds,
    )
    return measured, settings


def time_evaluation(trainer: Trainer, configuration: Configuration, data: DataSets) -> tuple[float, float]:
    """Returns the seconds that an evaluation on the dev set takes with its graphs traced, and those measured for it.

    The weights are random ones, with which no translation would end by itself, so the search is told to end it early.
    """
    settings, decoding = configuration.training, configuration.decoding
    short = replace(decoding, max_extra_tokens=min(decoding.max_extra_tokens, EXTRA_TOKENS))
    translate = dev_translator(trainer, replace(configuration, decoding=short), data.manifest)
    sentences = dev_sentences(data.manifest, settings)[0]
    part_of_sentences = max(1, len(sentences) // MEASURED_SENTENCES)
    sentences = sentences[::part_of_sentences]
    batches = data.dev.shard(EVALUATED_PART, 0)

    def seconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    dev_loss(trainer, batches.take(1))
    of_loss, of_translations = seconds(lambda: dev_loss(trainer, batches)), 0.0
    if sentences:
        translate(sentences[:1])
        of_translations = seconds(lambda: translate(sentences))
    estimate = EVALUATED_PART * of_loss + part_of_sentences * of_translations
    return estimate, of_loss + of_translations
