"""`nmt train`: trains a run on prepared data, from the beginning or from its last checkpoint."""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_nmt.app.config import Configuration, Sections
from keras_nmt.app.runs.directory import RunDirectory, shard_checksums
from keras_nmt.app.runtime.console import say
from keras_nmt.app.runtime.signals import StopSignals
from keras_nmt.app.training.building import build_on_devices, share_state
from keras_nmt.app.training.callbacks.full_disk import reporting_full_disk
from keras_nmt.app.training.callbacks.milestones import stopped_early
from keras_nmt.app.training.callbacks.monitoring import skipped_steps
from keras_nmt.app.training.callbacks.profiling import ProfiledSteps
from keras_nmt.app.training.data_sets import DataSets
from keras_nmt.app.training.dev_sets import check_scoring
from keras_nmt.app.training.fitting import fit
from keras_nmt.app.training.machines.barrier import barrier
from keras_nmt.app.training.machines.cluster import ALONE, Cluster
from keras_nmt.app.training.machines.distribution import chiefs_decision, reporting_lost_workers, strategy_of
from keras_nmt.app.training.memory.accumulation import reporting_exhausted_memory, with_accumulation
from keras_nmt.app.training.resolving import resolve
from keras_nmt.app.training.resume import locked_run, restore_latest, with_earlier_accumulation
from keras_nmt.app.training.trainer import Trainer
from keras_nmt.app.training.warm_start import warm_start
from keras_nmt.pipelines.shards.lanes import Host
from keras_nmt.pipelines.shards.manifest import Manifest
from keras_nmt.pipelines.shards.reading import reporting_data_errors, verify_shards


def train(
    data_dir: Path,
    out: Path,
    sections: Sections,
    origin: str,
    *,
    profile: ProfiledSteps | None = None,
    cluster: Cluster = ALONE,
    facts: Mapping[str, Any] | None = None,
) -> RunDirectory | None:
    """Trains to the configured last step. If `out` is a run that stopped earlier, resumes from its last checkpoint.

    Args:
        data_dir: The folder that `nmt prepare` wrote.
        out: The folder of the run: a new or empty folder, or an earlier run with the same data and configuration.
        sections: The sections of the configuration, as `load_preset` returns them.
        origin: The source of the sections, for messages, such as "preset base".
        profile: The steps to profile; None to profile no step.
        cluster: The machines that train together; each machine calls this function.
        facts: Further entries of the manifest of a new run.

    Returns:
        On the chief, the run. On the other machines, None, because only the chief writes the run.

    Raises:
        UserError: The data, the configuration, the folder or the cluster cannot be used.
    """
    with StopSignals() as signals, ExitStack() as held:
        manifest = Manifest.load(data_dir)
        verify_shards(manifest, Host(cluster.index, cluster.size))
        configuration = resolve(sections, origin, manifest)
        if profile:
            profile.check(0, configuration.training.steps)
        with barrier(cluster, shared_facts(configuration, manifest)):
            strategy = strategy_of(cluster)
            configuration = with_earlier_accumulation(configuration, out)
            configuration = with_accumulation(configuration, manifest, strategy.num_replicas_in_sync)
            # The data is opened before anything is written, so that wrong settings leave no files.
            data = DataSets.open(manifest, configuration.training)
            if configuration.training.dev_sentences:
                check_scoring(manifest)
            opening = locked_run(out, configuration, manifest, facts or {}) if cluster.is_chief else nullcontext()
            run = held.enter_context(opening)
        with reporting_lost_workers(cluster):
            trainer = start(run, configuration, manifest, strategy)
            if cluster.size > 1:
                say(f"{cluster.size} machines train together; this is {cluster.name(cluster.index)}")
            signals.kept_step = trainer.step
            with reporting_errors(run, configuration):
                fit(run, trainer, data, signals, profile=profile)
            chiefs_decision(strategy, True)  # the other machines stay connected until the chief is done
        if run:
            announce_end(run, trainer)
    return run


def shared_facts(configuration: Configuration, data: Manifest) -> dict[str, Any]:
    """Returns the values that must be equal on all machines, by name. TensorFlow does not detect a difference."""
    sections = configuration.as_sections()
    shards = json.dumps(shard_checksums(data))
    return {
        "tensorflow": tf.__version__,
        "number of devices": max(1, len(tf.config.list_physical_devices("GPU"))),
        "vocabulary": data.vocabulary_digest,
        "training shards": hashlib.sha256(shards.encode()).hexdigest(),
        **{f"{name}.{key}": value for name in ("model", "training") for key, value in sections[name].items()},
    }


def start(
    run: RunDirectory | None, configuration: Configuration, data: Manifest, strategy: tf.distribute.Strategy
) -> Trainer:
    """Returns a trainer in the state from which all machines continue.

    The chief, which has the run, restores the run's last checkpoint. For a new run with a warm start, the chief loads
    the weights of the run that `warm_start` names. Then the chief's state is copied to all machines.
    """
    trainer = build_on_devices(strategy, configuration)
    if run:
        restore_latest(run, trainer)
        if configuration.training.warm_start and not trainer.step:
            warm_start(trainer.transformer, Path(configuration.training.warm_start), data)
        announce_start(run, trainer, data)
    share_state(trainer)
    return trainer


@contextmanager
def reporting_errors(run: RunDirectory | None, configuration: Configuration) -> Iterator[None]:
    """Replaces the errors of damaged data, a full disk and exhausted memory by errors with a message of one line.

    Raises:
        DataError: A shard cannot be read.
        UserError: The disk is full, or a batch does not fit the memory.
    """
    with (
        reporting_data_errors(),
        reporting_full_disk(run.checkpoints) if run else nullcontext(),
        reporting_exhausted_memory(configuration.training.accumulation),
    ):
        yield


def announce_start(run: RunDirectory, trainer: Trainer, data: Manifest) -> None:
    """Prints the size of the model and the data, and the step from which training resumes."""
    settings = run.configuration.training
    parameters = sum(math.prod(weight.shape) for weight in trainer.transformer.trainable_variables)
    train_split = data.split("train")
    skipped = train_split.longer_than(settings.max_length)
    pairs = train_split.examples - skipped
    replicas = trainer.distribute_strategy.num_replicas_in_sync
    say(f"{run.path}: {parameters:,} parameters, {settings.precision}, {replicas} replica(s)")
    counted = "blocks" if train_split.text_counts else "pairs"
    say(f"{data.data_dir}: {pairs:,} training {counted}, {skipped:,} longer than {settings.max_length} tokens")
    if trainer.step >= settings.steps:
        cosine = settings.schedule == "cosine"
        further = "for more steps choose another --out" if cosine else "raise training.steps to continue"
        say(f"already trained to step {trainer.step}; {further}")
    elif trainer.step and not stopped_early(run):
        say(f"resuming from step {trainer.step} of {settings.steps}")


def announce_end(run: RunDirectory, trainer: Trainer) -> None:
    """Prints why the training ended early, if it did, and the number of skipped updates, if there were any."""
    if trainer.step < run.configuration.training.steps:
        say(stopped_early(run))
    if skipped := skipped_steps(run.path):
        say(f"{skipped} of {trainer.step} steps made no update because their gradient was not finite")
