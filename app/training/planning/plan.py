"""`nmt train --plan`: what a training would be, from its data, its configuration and a few real steps.

Nothing is written; the steps are those of a model that is thrown away.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import tensorflow as tf

from app.config import Configuration, TrainingConfig
from app.runtime.processor_settings import apply_processor_settings
from app.runtime.processors import processor_name
from app.training.building import build_on_devices
from app.training.data_sets import DataSets
from app.training.machines.distribution import divide, mirrored_strategy
from app.training.memory.accumulation import largest_need, reporting_exhausted_memory, with_accumulation
from app.training.memory.estimate import MemoryEstimate, estimate_memory
from app.training.memory.machine import memory_per_replica, peak_memory
from app.training.packing import is_packed
from app.training.resolving import resolve
from app.training.trainer import Trainer
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import reporting_data_errors, verify_shards
from pipelines.streaming.batching import BatchShape, NumpyBatch
from pipelines.streaming.stream import PlannedBatch, dataset_of

FIRST_BATCHES = 4
WARM_UP_SECONDS, MEASURED_SECONDS = 15.0, 5.0


@dataclass(frozen=True)
class ModelPlan:
    """What learns: how many parameters each part has, how many of all learn, computed how and where.

    Attributes:
        processor: The model of the CPU and its notable instructions.
        processor_settings: How TensorFlow was told to compute on it, and why.
    """

    parameters: Mapping[str, int]
    trainable_parameters: int
    precision: str
    devices: Sequence[str]
    processor: str
    processor_settings: str


@dataclass(frozen=True)
class FrequentShape:
    """A shape and the share of the batches that have it."""

    shape: BatchShape
    share: float


@dataclass(frozen=True)
class DataPlan:
    """What it learns from, in the first epoch; tokens are the real ones of a mean batch, EOS among them."""

    training_pairs: int
    skipped_pairs: int
    max_length: int
    batches: int
    source_tokens: float
    target_tokens: float
    padding_share: float
    shapes: Sequence[FrequentShape]


@dataclass(frozen=True)
class MemoryPlan:
    """Bytes on each GPU, or of the process where there is none.

    Attributes:
        accumulation: In how many parts a batch is computed.
        largest_batch: The shape that the estimate is for; in no epoch a batch needs more.
        program: What the process held before there was a model; 0 on a GPU.
        estimated: What is estimated to be held at most, the program included.
        estimated_parts: What of it for what, on each device.
        there: What there is to be held, what the program holds included.
        measured: What was held at most by the end of the measured steps, that of the first epoch's largest batch among
            them.
    """

    accumulation: int
    largest_batch: BatchShape
    program: int
    estimated: int
    estimated_parts: MemoryEstimate
    there: int
    measured: int


@dataclass(frozen=True)
class Speed:
    """What was measured in some steps, whose shapes had been seen before.

    Attributes:
        compilations: How many shapes are compiled in an epoch; 0 where none is, on a CPU.
        compile_seconds: What one of them takes.
    """

    steps: int
    seconds: float
    target_tokens_per_second: float
    compilations: int = 0
    compile_seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """What is known before a training; the hours are those of all steps and compilation, without the evaluations."""

    model: ModelPlan
    data: DataPlan
    memory: MemoryPlan
    speed: Speed
    steps: int
    epochs: float
    hours: float


def plan_training(data_dir: Path, sections: Mapping[str, Mapping[str, Any]], origin: str) -> Plan:
    """Looks at the data and trains a model for some steps; arguments and errors are those of `train`."""
    manifest = Manifest.load(data_dir)
    verify_shards(manifest)
    strategy = mirrored_strategy()
    configuration = with_accumulation(resolve(sections, origin, manifest), manifest, strategy.num_replicas_in_sync)
    settings = configuration.training
    data = DataSets.open(manifest, settings)
    epoch = data.first_epoch()
    program, free = (0 if tf.config.list_logical_devices("GPU") else peak_memory()), memory_per_replica()
    trainer = build_on_devices(strategy, configuration)
    with reporting_data_errors(), reporting_exhausted_memory(settings.accumulation):
        speed = measure(trainer, batches_to_measure(configuration, data, epoch))
    learnt = plan_data(manifest, settings, epoch)
    speed = replace(speed, compilations=len(learnt.shapes) if trainer.xla else 0)
    learning = settings.steps * learnt.target_tokens / speed.target_tokens_per_second
    return Plan(
        plan_model(trainer),
        learnt,
        plan_memory(configuration, manifest, strategy.num_replicas_in_sync, program, free),
        speed,
        steps=settings.steps,
        epochs=settings.steps / len(epoch),
        hours=(learning + speed.compilations * speed.compile_seconds) / 3600,
    )


def plan_model(trainer: Trainer) -> ModelPlan:
    """Counts the parameters of the embedding, the encoder and the decoder, and names the devices."""
    model = trainer.transformer
    parts = {layer.name: layer.count_params() for layer in model.layers if layer.weights}
    gpus = tf.config.list_physical_devices("GPU")
    replicas = trainer.distribute_strategy.num_replicas_in_sync
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    trainable = sum(math.prod(weight.shape) for weight in model.trainable_variables)
    return ModelPlan(
        parts,
        trainable,
        trainer.settings.precision,
        names or ["CPU"] * replicas,
        processor=processor_name(),
        processor_settings=str(apply_processor_settings()),
    )


def plan_data(data: Manifest, settings: TrainingConfig, epoch: Sequence[PlannedBatch]) -> DataPlan:
    """Adds up an epoch."""
    skipped = data.split("train").longer_than(settings.max_length)
    source, target = sum(batch.source_tokens for batch in epoch), sum(batch.target_tokens for batch in epoch)
    shapes = Counter(batch.shape for batch in epoch)
    positions = sum(number * s.rows * (s.source_length + s.target_length) for s, number in shapes.items())
    return DataPlan(
        training_pairs=data.split("train").examples - skipped,
        skipped_pairs=skipped,
        max_length=settings.max_length,
        batches=len(epoch),
        source_tokens=source / len(epoch),
        target_tokens=target / len(epoch),
        padding_share=1 - (source + target) / positions,
        shapes=[FrequentShape(shape, number / len(epoch)) for shape, number in shapes.most_common()],
    )


def plan_memory(configuration: Configuration, data: Manifest, replicas: int, program: int, free: int) -> MemoryPlan:
    """Sets the estimate beside what there is and what was measured.

    Args:
        configuration: Complete.
        data: What is trained on.
        replicas: How many a batch is divided among.
        program: What the process held before there was a model, bytes; 0 on a GPU.
        free: What each replica could have taken then, bytes.
    """
    parts = configuration.training.accumulation
    shape, need = largest_need(configuration, data, replicas=replicas, parts=parts)
    sharing = replicas if program else 1  # main memory is that of all replicas
    return MemoryPlan(
        accumulation=parts,
        largest_batch=shape,
        program=program,
        estimated=program + sharing * need.total,
        estimated_parts=need,
        there=program + sharing * free,
        measured=peak_memory(),
    )


def batches_to_measure(configuration: Configuration, data: DataSets, epoch: Sequence[PlannedBatch]) -> list[NumpyBatch]:
    """Returns the batch of the first epoch that needs most memory, and the first batches."""
    needs = [estimate_memory(configuration, batch.shape, replicas=1, parts=1).total for batch in epoch]

    def batches(after_step: int, count: int) -> list[NumpyBatch]:
        return list(data.stream(after_step).take(count).as_numpy_iterator())

    return [*batches(needs.index(max(needs)), 1), *batches(0, FIRST_BATCHES)]


def measure(trainer: Trainer, batches: Sequence[NumpyBatch]) -> Speed:
    """Times steps on all but the first batch, or on fewer if steps are slow; each has been learnt from before."""
    trainer.make_train_function()
    traced = run_steps(trainer, batches[:1])  # makes the graph, and takes the most memory
    first_seconds: list[float] = []
    for batch in batches[1:]:
        if sum(first_seconds) < WARM_UP_SECONDS:
            first_seconds.append(run_steps(trainer, [batch]).seconds)
    warm = batches[1 : 1 + len(first_seconds)]
    steps, seconds, tokens = 0, 0.0, 0.0
    while seconds < MEASURED_SECONDS:
        done = run_steps(trainer, warm)
        steps, seconds = steps + done.steps, seconds + done.seconds
        tokens += done.seconds * done.target_tokens_per_second
    # Packed batches have one shape, which was compiled as the graph was made.
    first = traced.seconds if is_packed(trainer.settings) else first_seconds[0]
    compiling = max(0.0, first - seconds / steps) if trainer.xla else 0.0
    return Speed(steps, seconds, tokens / seconds, compile_seconds=compiling)


def run_steps(trainer: Trainer, batches: Sequence[NumpyBatch]) -> Speed:
    """Learns from each batch once."""
    spec = tf.nest.map_structure(lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), batches[0])
    stream = dataset_of(lambda: iter(batches), spec).repeat()
    steps = iter(divide(lambda _: stream, trainer.distribute_strategy))
    started, tokens = time.perf_counter(), 0.0
    for _ in batches:
        tokens += float(trainer.train_function(steps)["target_tokens"])  # waits for the step's end
    seconds = time.perf_counter() - started
    return Speed(len(batches), seconds, tokens / seconds)
