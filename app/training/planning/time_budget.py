"""`nmt train --minutes`: chooses the number of steps that fit a given time, then trains like `nmt train`.

The speed is measured with a model that is then discarded. The chosen settings (`CHOSEN`) are written into the
configuration before the run starts. So the run is the same as a run that was started by `nmt train` with these
settings, and resumes in the same way.
"""

import gc
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from keras_nmt.app.config import Configuration, Sections, TrainingConfig
from keras_nmt.app.errors import UserError
from keras_nmt.app.runs.directory import RunDirectory
from keras_nmt.app.runtime.console import say
from keras_nmt.app.runtime.signals import StopSignals
from keras_nmt.app.training.building import build_on_devices
from keras_nmt.app.training.callbacks.monitoring import dev_loss
from keras_nmt.app.training.callbacks.profiling import ProfiledSteps
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.dev_sets import dev_runner, dev_sentences
from keras_nmt.app.training.machines.distribution import mirrored_strategy
from keras_nmt.app.training.memory.accumulation import reporting_exhausted_memory, with_accumulation
from keras_nmt.app.training.planning.plan import measure
from keras_nmt.app.training.resolving import resolve
from keras_nmt.app.training.resume import require_free_or_run
from keras_nmt.app.training.train import train
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import reporting_data_errors, verify_shards
from keras_nmt.pipelines.streaming.batching import NumpyBatch
from keras_nmt.pipelines.vocabulary.tokenizer import PAD

CHOSEN = ("steps", "warmup_steps", "checkpoint_every")
MEASURED_BATCHES = 8  # several, because shapes differ in speed
AVERAGED_BATCHES = 100  # the mean size of this many batches is within 2% of the mean over an epoch
EVALUATED_PART = 4  # the dev loss is timed on a quarter of the dev set
MEASURED_SENTENCES = 200  # minimum number to translate, because a few sentences take almost as long as a batch
EXTRA_TOKENS = 10  # a timed translation may have this many tokens more than its source
FEWEST_STEPS = 20
MOST_EVALUATION = 0.25  # maximum share of the time that is spent on evaluations
MOST_WARMUP = 0.125  # maximum share of the steps that are warm-up steps
USED = 0.95  # share of the time that is planned, because writing checkpoints is not timed and the speed varies


@dataclass(frozen=True)
class Measured:
    """The measured speed of a training on this machine.

    Attributes:
        target_tokens_per_second: The number of target tokens per second, in steps whose shapes were already compiled.
        step_seconds: The mean time of a step.
        start_seconds: The time before steps run at full speed: building, tracing and compiling.
        evaluation_seconds: The time of one evaluation on the dev set.
    """

    target_tokens_per_second: float
    step_seconds: float
    start_seconds: float
    evaluation_seconds: float


@dataclass(frozen=True)
class TimeBudget:
    """The time that a training may take.

    Attributes:
        minutes: The time in minutes, including the time in which the speed is measured.
        started: The value of `time.perf_counter()` at the moment from which the time counts.
        most_steps: The maximum number of steps to train, even if more steps would fit; None for no limit.
    """

    minutes: float
    started: float
    most_steps: int | None = None

    def seconds_left(self) -> float:
        """Returns the number of seconds that are left of the given time."""
        return self.minutes * 60 - (time.perf_counter() - self.started)


def train_within(
    budget: TimeBudget,
    data_dir: Path,
    out: Path,
    sections: Sections,
    origin: str,
    *,
    profile: ProfiledSteps | None = None,
) -> RunDirectory | None:
    """Trains as many steps as fit the time. If `out` is an existing run, resumes it with its own number of steps.

    Args:
        budget: The time that the training may take; ignored when a run resumes.
        data_dir: The same as for `train`.
        out: The same as for `train`.
        sections: The same as for `train`.
        origin: The same as for `train`.
        profile: The same as for `train`.

    Returns:
        The same as `train`.

    Raises:
        UserError: The time is too short, or `train` raises this error.
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
    """Returns the settings of an existing run, and the entry `time_budget` of its manifest, if there is one."""
    settings = run.configuration.training
    say(f"{run.path}: keeps its {settings.steps:,} steps; to measure again choose another --out")
    name = "time_budget"
    return settings, {name: run.manifest[name]} if name in run.manifest else {}


def choose_numbers(
    budget: TimeBudget, data_dir: Path, out: Path, sections: Sections, origin: str
) -> tuple[TrainingConfig, dict[str, Any]]:
    """Measures the speed, and returns the settings of a new run and the entry `time_budget` for its manifest."""
    measured, settings = measure_training(data_dir, sections, origin)
    gc.collect()  # frees the discarded model, which reference cycles would keep in memory
    chosen = settings_within(budget.seconds_left(), settings, measured, most_steps=budget.most_steps)
    within = "less than " if chosen.steps == budget.most_steps else ""
    speed = f"{measured.target_tokens_per_second:,.0f} target tokens/s"
    say(f"{out}: {speed}; {chosen.steps:,} steps in {within}{budget.minutes:.3g} minutes")
    return chosen, {"time_budget": {"minutes": budget.minutes, **asdict(measured)}}


def settings_within(
    seconds: float, settings: TrainingConfig, measured: Measured, *, most_steps: int | None = None
) -> TrainingConfig:
    """Returns the settings with as many steps as fit into `seconds`. Adapts the warm-up and the checkpoints.

    The training writes as many checkpoints as `settings` would. If the evaluations of the checkpoints would take more
    than a quarter of the time, it writes fewer checkpoints, but at least one.

    Raises:
        UserError: Fewer than 20 steps fit.
    """
    usable = USED * seconds - measured.start_seconds
    evaluations = math.ceil(settings.steps / settings.checkpoint_every)
    evaluations = max(1, min(evaluations, int(MOST_EVALUATION * usable / measured.evaluation_seconds)))
    steps = int((usable - evaluations * measured.evaluation_seconds) / measured.step_seconds)
    if steps < FEWEST_STEPS:
        raise UserError(
            f"{max(0, steps)} steps of {measured.step_seconds:.2g} seconds fit the time, and a training needs "
            f"{FEWEST_STEPS}; use more --minutes, or a smaller --preset or training.batch_tokens"
        )
    steps = min(steps, most_steps or steps)
    return replace(
        settings,
        steps=steps,
        warmup_steps=max(1, min(settings.warmup_steps, int(MOST_WARMUP * steps))),
        checkpoint_every=math.ceil(steps / evaluations),
    )


def measure_training(data_dir: Path, sections: Sections, origin: str) -> tuple[Measured, TrainingConfig]:
    """Trains a model for some steps, evaluates and discards it. Returns the speed, and the settings that were used."""
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
    """Estimates the seconds that an evaluation on the dev set takes, without the time to trace the graphs.

    Only a part of the dev set is evaluated. With random weights, translations would not end with EOS, so the search is
    limited to a few more tokens than the source has.

    Returns:
        The estimated seconds, and the seconds that the timed part took.
    """
    settings, decoding = configuration.training, configuration.decoding
    short = replace(decoding, max_extra_tokens=min(decoding.max_extra_tokens, EXTRA_TOKENS))
    translate = dev_runner(trainer, replace(configuration, decoding=short), data.manifest)
    sentences = dev_sentences(data.manifest, settings)[0]
    part_of_sentences = max(1, len(sentences) // MEASURED_SENTENCES)
    sentences = sentences[::part_of_sentences]
    batches = data.dev.shard(EVALUATED_PART, 0)

    def seconds(work: Callable[[], object]) -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    dev_loss(trainer, batches.take(1))
    loss_seconds, translation_seconds = seconds(lambda: dev_loss(trainer, batches)), 0.0
    if sentences:
        translate(sentences[:1])
        translation_seconds = seconds(lambda: translate(sentences))
    estimate = EVALUATED_PART * loss_seconds + part_of_sentences * translation_seconds
    return estimate, loss_seconds + translation_seconds
