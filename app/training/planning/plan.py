"""`nmt train --plan`: describes a training from its data, its configuration and a few measured steps.

No files are written. The measured steps train a model that is discarded afterwards.
"""

import math
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import tensorflow as tf

from keras_nmt.app.config import Configuration, Sections, TrainingConfig
from keras_nmt.app.runtime.processor_settings import apply_processor_settings
from keras_nmt.app.runtime.processors import processor_name
from keras_nmt.app.training.building import build_on_devices
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.machines.distribution import divide, mirrored_strategy
from keras_nmt.app.training.memory.accumulation import largest_need, reporting_exhausted_memory, with_accumulation
from keras_nmt.app.training.memory.estimate import MemoryEstimate, estimate_memory
from keras_nmt.app.training.memory.machine import memory_per_replica, peak_memory
from keras_nmt.app.training.packing import is_packed
from keras_nmt.app.training.resolving import resolve
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import reporting_data_errors, verify_shards
from keras_nmt.pipelines.streaming.batching import BatchShape, NumpyBatch
from keras_nmt.pipelines.streaming.stream import PlannedBatch, dataset_of

FIRST_BATCHES = 4
WARM_UP_SECONDS, MEASURED_SECONDS = 15.0, 5.0


@dataclass(frozen=True)
class ModelPlan:
    """The part of a plan that describes the model and the machine.

    Attributes:
        parameters: The number of parameters of each part of the model.
        trainable_parameters: The number of parameters that are not frozen.
        precision: The Keras dtype policy.
        devices: The name of each device.
        processor: The model of the CPU and its notable instruction sets.
        processor_settings: The settings of TensorFlow for this CPU, with the reason, as text.
    """

    parameters: Mapping[str, int]
    trainable_parameters: int
    precision: str
    devices: Sequence[str]
    processor: str
    processor_settings: str


@dataclass(frozen=True)
class FrequentShape:
    """A batch shape, and the share of batches that have it."""

    shape: BatchShape
    share: float


@dataclass(frozen=True)
class DataPlan:
    """The part of a plan that describes the data of the first epoch.

    Attributes:
        training_pairs: The number of pairs that are not longer than `max_length`.
        skipped_pairs: The number of pairs that are skipped because they are longer than `max_length`.
        max_length: The maximum length of the source and of the target of a pair, in tokens.
        batches: The number of batches.
        source_tokens: The mean number of real source tokens of a batch, with EOS.
        target_tokens: The mean number of real target tokens of a batch, with EOS.
        padding_share: The share of padding in all positions of both sides, 0 to 1.
        shapes: The shapes of the batches, the most frequent first.
    """

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
    """The part of a plan that describes the memory, in bytes: of each GPU, or of the process if there is no GPU.

    Attributes:
        accumulation: The number of accumulated parts into which a batch is split.
        largest_batch: The batch shape for which memory is estimated. No batch of any epoch needs more memory.
        program: The memory of the process before the model was built; 0 on a GPU.
        estimated: The estimated peak, including `program`.
        estimated_parts: The estimated memory of one device by purpose, without `program`.
        there: The available memory, including `program`.
        measured: The measured peak. One of the measured steps is on that batch of the first epoch that needs most
            memory.
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
    """The speed of measured steps, without the time of compilation.

    Attributes:
        steps: The number of measured steps.
        seconds: The time of the measured steps.
        target_tokens_per_second: The number of real target tokens per second.
        compilations: The number of shapes that are compiled in an epoch; 0 on a CPU.
        compile_seconds: The time of one compilation.
    """

    steps: int
    seconds: float
    target_tokens_per_second: float
    compilations: int = 0
    compile_seconds: float = 0.0


@dataclass(frozen=True)
class Plan:
    """The plan of a training. `hours` includes all steps and compilations, but not the evaluations on the dev set."""

    model: ModelPlan
    data: DataPlan
    memory: MemoryPlan
    speed: Speed
    steps: int
    epochs: float
    hours: float


def plan_training(data_dir: Path, sections: Sections, origin: str) -> Plan:
    """Plans a training, and runs a few steps to measure their speed. The arguments and errors are those of `train`."""
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
    data_plan = plan_data(manifest, settings, epoch)
    speed = replace(speed, compilations=len(data_plan.shapes) if trainer.xla else 0)
    training_seconds = settings.steps * data_plan.target_tokens / speed.target_tokens_per_second
    return Plan(
        plan_model(trainer),
        data_plan,
        plan_memory(configuration, manifest, strategy.num_replicas_in_sync, program, free),
        speed,
        steps=settings.steps,
        epochs=settings.steps / len(epoch),
        hours=(training_seconds + speed.compilations * speed.compile_seconds) / 3600,
    )


def plan_model(trainer: Trainer) -> ModelPlan:
    """Returns the parameter counts of the embedding, encoder and decoder, and describes the devices and the CPU."""
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
    """Returns a summary of the training data and of the batches of an epoch."""
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
    """Returns the estimated, the available and the measured memory.

    Args:
        configuration: The resolved configuration.
        data: The data to train on.
        replicas: The number of replicas among which a batch is divided.
        program: The bytes that the process used before the model was built; 0 on a GPU.
        free: The bytes that were free for each replica before the model was built.
    """
    parts = configuration.training.accumulation
    shape, need = largest_need(configuration, data, replicas=replicas, parts=parts)
    sharing = replicas if program else 1  # all replicas share main memory
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
    """Returns the batch of the first epoch that needs most memory, then the first few batches of the epoch."""
    needs = [estimate_memory(configuration, batch.shape, replicas=1, parts=1).total for batch in epoch]

    def batches(after_step: int, count: int) -> list[NumpyBatch]:
        return list(data.stream(after_step).take(count).as_numpy_iterator())

    return [*batches(needs.index(max(needs)), 1), *batches(0, FIRST_BATCHES)]


def measure(trainer: Trainer, batches: Sequence[NumpyBatch]) -> Speed:
    """Measures the speed of train steps.

    The first batch is used only for one step, which traces the graph and reaches the peak of memory. Then each further
    batch is used for one warm-up step, until the warm-up has taken 15 seconds. Finally, steps on the batches of the
    warm-up are repeated and measured for at least 5 seconds.
    """
    trainer.make_train_function()
    traced = run_steps(trainer, batches[:1])
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
    # All packed batches have the same shape, which was compiled in the step that traced the graph.
    first = traced.seconds if is_packed(trainer.settings) else first_seconds[0]
    compiling = max(0.0, first - seconds / steps) if trainer.xla else 0.0
    return Speed(steps, seconds, tokens / seconds, compile_seconds=compiling)


def run_steps(trainer: Trainer, batches: Sequence[NumpyBatch]) -> Speed:
    """Trains one step on each batch, and returns the speed of these steps."""
    spec = tf.nest.map_structure(lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), batches[0])
    stream = dataset_of(lambda: iter(batches), spec).repeat()
    steps = iter(divide(lambda _: stream, trainer.distribute_strategy))
    started, tokens = time.perf_counter(), 0.0
    for _ in batches:
        tokens += float(trainer.train_function(steps)["target_tokens"])  # waits for the end of the step
    seconds = time.perf_counter() - started
    return Speed(len(batches), seconds, tokens / seconds)
