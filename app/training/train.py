"""`nmt train`: from prepared data and a configuration to a trained run, anew or from the last checkpoint on."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from app.config import Configuration, TrainingConfig, nearest_preset
from app.decoding.translation_graph import TranslationGraph
from app.decoding.translator import Translator
from app.errors import UserError
from app.runs import step_lines
from app.runs.checkpoints import DamagedCheckpoint, first_whole
from app.runs.directory import RunDirectory, shard_checksums
from app.runs.lock import locked
from app.runtime.console import TrainingProgress, say
from app.runtime.signals import StopSignals
from app.runtime.text_files import read_lines
from app.training.callbacks.divergence import Diverged, DivergenceWatch
from app.training.callbacks.full_disk import reporting_full_disk
from app.training.callbacks.milestones import Followed, Milestones, is_over, is_unjudged, stopped_early
from app.training.callbacks.monitoring import DevEvaluation, StepLog, check_can_score, skipped_steps
from app.training.callbacks.profiling import Profile, ProfiledSteps
from app.training.callbacks.rollback import Rollback, SeesDivergence, recover
from app.training.machines.barrier import barrier
from app.training.machines.cluster import ALONE, Cluster
from app.training.machines.distribution import (
    chiefs_values,
    chiefs_word,
    divide,
    reporting_lost_workers,
    strategy_of,
    take_from_chief,
)
from app.training.memory.accumulation import reporting_exhausted_memory, with_accumulation
from app.training.optimization.optimizer import optimizer_of
from app.training.packing import is_packed, resolve_packing
from app.training.precision import resolve_precision
from app.training.trainer import Trainer
from app.training.warm_start import begin_with_weights_of
from layers import Transformer
from pipelines.shards.lanes import ONLY_HOST, Host
from pipelines.shards.manifest import Manifest
from pipelines.shards.reading import reporting_data_errors, verify_shards
from pipelines.streaming.batching import ROWS_MULTIPLE
from pipelines.streaming.stream import evaluation_stream, skipped_examples, training_stream

# A run may go on with other values of these; any other change would make it another run.
MAY_CHANGE = {
    *("steps", "checkpoint_every", "keep_checkpoints", "keep_best", "best_by", "patience", "dev_sentences"),
    *("accumulation", "deterministic"),
    *("spike_factor", "storm_steps", "max_rollbacks"),
}


def train(
    data_dir: Path,
    out: Path,
    sections: Mapping[str, Mapping[str, Any]],
    origin: str,
    *,
    profile: ProfiledSteps | None = None,
    cluster: Cluster = ALONE,
    facts: Mapping[str, Any] | None = None,
) -> RunDirectory | None:
    """Trains until the configured step; a run that stopped earlier goes on from its last checkpoint.

    Args:
        data_dir: What `nmt prepare` wrote.
        out: The run; a new or empty folder, or an earlier run of the same data and configuration.
        sections: The configuration as `load_preset` gives it.
        origin: Where the sections come from, for messages.
        profile: Which steps to profile.
        cluster: The machines that train together; each of them calls this.
        facts: What the manifest of a new run says in addition.

    Returns:
        The run, which the chief alone writes; None on the other machines.

    Raises:
        UserError: The data, the configuration, the folder or the cluster cannot be used.
    """
    with StopSignals() as signals, ExitStack() as held:
        data = Manifest.load(data_dir)
        verify_shards(data, Host(cluster.index, cluster.size))
        configuration = resolve(sections, origin, data)
        if profile:
            profile.check(0, configuration.training.steps)
        with barrier(cluster, shared_facts(configuration, data)):
            strategy = strategy_of(cluster)
            configuration = with_earlier_parts(configuration, out)
            configuration = with_accumulation(configuration, data, strategy.num_replicas_in_sync)
            settings = configuration.training
            # What is wrong with the settings shows before anything is written.
            open_stream(data, settings, first_step=0)
            dev_batches(data, settings)
            if settings.dev_sentences:
                check_can_score(data.languages)
            run = None
            if cluster.is_chief:
                require_run_or_free(out)
                held.enter_context(locked(out))
                run = open_or_create(out, configuration, data, facts or {})
        with reporting_lost_workers(cluster):
            trainer = begin(run, configuration, data, strategy)
            if cluster.size > 1:
                say(f"{cluster.size} machines train together; this is {cluster.name(cluster.index)}")
            signals.kept_step = trainer.step
            with (
                reporting_data_errors(),
                reporting_full_disk(run.checkpoints) if run else nullcontext(),
                reporting_exhausted_memory(settings.accumulation),
            ):
                _fit(run, trainer, data, strategy, signals, profile=profile)
            chiefs_word(strategy, True)  # the others stay while it may still be busy
        if run and trainer.step < settings.steps:
            say(stopped_early(run))
        if run and (skipped := skipped_steps(run.path)):
            say(f"{skipped} of {trainer.step} steps made no update, for their gradient was not finite")
    return run


def shared_facts(configuration: Configuration, data: Manifest) -> dict[str, Any]:
    """What must be the same on all machines of a training, for they cannot tell from the tensors."""
    sections = configuration.as_sections()
    shards = json.dumps(shard_checksums(data))
    return {
        "tensorflow": tf.__version__,
        "number of devices": max(1, len(tf.config.list_physical_devices("GPU"))),
        "vocabulary": data.vocabulary_digest,
        "training shards": hashlib.sha256(shards.encode()).hexdigest(),
        **{f"{name}.{key}": value for name in ("model", "training") for key, value in sections[name].items()},
    }


def resolve(sections: Mapping[str, Mapping[str, Any]], origin: str, data: Manifest) -> Configuration:
    """Completes a preset with what the data and the machine decide: vocabulary, precision, packing, longest input."""
    model = {"vocabulary_size": data.vocabulary_size, **sections.get("model", {})}
    if model["vocabulary_size"] != data.vocabulary_size:
        raise UserError(
            f"{origin}: [model] vocabulary_size is {model['vocabulary_size']}, but the vocabulary of {data.data_dir} "
            f"has {data.vocabulary_size} pieces; leave the setting out"
        )
    configuration = Configuration.from_sections({**sections, "model": model}, origin)
    if configuration.model.logits_bias:
        raise UserError(f"{origin}: [model] logits_bias is of imported models, and is not trained; leave it out")
    training = replace(
        configuration.training,
        precision=resolve_precision(configuration.training.precision),
        packing=resolve_packing(configuration.training.packing),
    )
    trained_tokens = training.max_length - 1  # without EOS; the model has seen no longer source
    decoding = configuration.decoding
    decoding = replace(decoding, max_source_tokens=min(decoding.max_source_tokens, max(1, trained_tokens)))
    return replace(configuration, training=training, decoding=decoding)


def with_earlier_parts(configuration: Configuration, out: Path) -> Configuration:
    """What "deterministic" asks of a run that goes on: as many parts of a batch as before, whatever memory there is."""
    settings = configuration.training
    if not (settings.deterministic and settings.accumulation == 0 and RunDirectory.is_run(out)):
        return configuration
    before = RunDirectory.open(out).configuration.training.accumulation
    return replace(configuration, training=replace(settings, accumulation=before))


def open_or_create(out: Path, configuration: Configuration, data: Manifest, facts: Mapping[str, Any]) -> RunDirectory:
    """A new run, or the run that is there, if it was made with the same data and configuration."""
    run = RunDirectory.open(out) if RunDirectory.is_run(out) else None
    if not (run and run.checkpoints.steps()):  # nothing was learnt yet: begin anew, with other settings or data too
        return RunDirectory.create(out, configuration, data, facts)
    if run.manifest["vocabulary_digest"] != data.vocabulary_digest:
        raise UserError(
            f"wrong vocabulary for the data: {out} was trained with another vocabulary than that of "
            f"{data.data_dir}; choose another --out"
        )
    if run.manifest["data"] != shard_checksums(data):
        raise UserError(f"{out} was trained on other data than {data.data_dir} holds now; choose another --out")
    _check_same(run, configuration)
    return run.with_configuration(configuration)


def require_run_or_free(out: Path) -> None:
    """Raises `UserError` if a run can neither go on nor begin in the folder."""
    if not (RunDirectory.is_run(out) or RunDirectory.may_be_made(out)):
        raise UserError(f"{out} exists and is not a run of `nmt train`; choose another --out")


def _check_same(run: RunDirectory, configuration: Configuration) -> None:
    """Holds the configuration of a run that goes on to that which it began with."""
    before, now = run.configuration.as_sections(), configuration.as_sections()
    # The cosine's whole curve follows from the last step.
    may_change = MAY_CHANGE - ({"steps"} if configuration.training.schedule == "cosine" else set())
    differing = {
        f"{section}.{key}": (value, now[section][key])
        for section in ("model", "training")
        for key, value in before[section].items()
        if value != now[section][key] and key not in may_change
    }
    if not differing:
        return
    was = ", ".join(f"{name} = {value}, not {other}" for name, (value, other) in differing.items())
    settings = " ".join(f"--set {name}={value}" for name, (value, _) in differing.items())
    message = f"{run.path} was begun with {was}; go on with {settings}, or choose another --out"
    if "training.steps" in differing:
        message += (
            f" (of a cosine each rate follows from the last step; --warm-start {run.path} goes on from its weights)"
        )
    preset = nearest_preset(before)
    if preset != nearest_preset(now):
        message += f"; it seems to be of --preset {preset}"
    raise UserError(message)


def build_trainer(configuration: Configuration) -> Trainer:
    """The model, the optimizer and their weights; under a strategy's scope they live on all its devices."""
    settings = configuration.training
    transformer = Transformer(configuration.model, name="transformer", dtype=settings.precision)
    transformer.build()
    freeze(transformer, settings.freeze)
    xla = bool(tf.config.list_logical_devices("GPU"))
    trainer = Trainer(transformer, settings, xla=xla)
    optimizer = optimizer_of(settings, configuration.model.model_width)
    trainer.compile(optimizer=optimizer, auto_scale_loss=False, jit_compile=False)
    optimizer.build(transformer.trainable_variables)
    return trainer


def freeze(transformer: Transformer, layers: Sequence[str]) -> None:
    """Keeps the weights of the named layers as they are.

    Raises:
        UserError: A name is that of no layer, or no weight is left to learn.
    """
    for name in layers:
        named = [weight for weight in transformer.weights if f"/{name}/" in f"/{weight.path}"]
        if not named:
            known = sorted({weight.path.split("/", 2)[1] for weight in transformer.weights})
            raise UserError(
                f"training.freeze: there is no layer {name}; name one of {', '.join(known)} or a part of one, "
                "as in encoder/layer_0"
            )
        for weight in named:
            weight.trainable = False
    if not transformer.trainable_variables:
        raise UserError("training.freeze leaves no weight to learn; name fewer layers")


def restore_latest(run: RunDirectory, trainer: Trainer) -> int:
    """Puts back the newest whole checkpoint, if there is one, and gives its step, else 0.

    Damaged ones after it are set aside, and the logs of later steps cut.
    """
    folder = run.checkpoints
    folder.clear_leftovers()
    if paths := [path for _, path in reversed(folder.steps())]:
        try:
            newest, damaged = first_whole(paths)
        except DamagedCheckpoint as all_are:
            raise UserError(f"{all_are}, and no other is whole; remove {folder.path} to begin anew") from all_are
        newest.restore(trainer.transformer, trainer.optimizer)
        trainer.step = newest.step
        for error in damaged:
            say(f"{error}; renamed it {folder.set_aside(error.path).name}, going on from step {newest.step}")
    for name in ("metrics.jsonl", "dev.jsonl"):
        step_lines.cut_after(run.path / name, trainer.step)
    return trainer.step


def begin(
    run: RunDirectory | None, configuration: Configuration, data: Manifest, strategy: tf.distribute.Strategy
) -> Trainer:
    """What is to be trained, on all machines as the chief, which has the run, finds it in its last checkpoint."""
    settings = configuration.training
    if settings.deterministic:
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(settings.seed)
    with strategy.scope():
        trainer = build_trainer(configuration)
    if run:
        restore_latest(run, trainer)
        if settings.warm_start and not trainer.step:
            begin_with_weights_of(Path(settings.warm_start), trainer.transformer, data)
        announce(run, trainer, data, strategy)
    share_state(strategy, trainer)
    return trainer


def begin_anew(trainer: Trainer, configuration: Configuration, data: Manifest) -> None:
    """Gives a trainer the weights, seeds and optimizer that its training began with."""
    keras.utils.set_random_seed(configuration.training.seed)
    with tf.device("CPU:0"):  # the devices of the strategy may have no room for a second model
        first = build_trainer(configuration)
    if configuration.training.warm_start:
        begin_with_weights_of(Path(configuration.training.warm_start), first.transformer, data)
    for variable, value in zip(state(trainer), state(first), strict=True):
        variable.assign(keras.ops.convert_to_numpy(value))


def state(trainer: Trainer) -> list[keras.Variable]:
    """The weights, the seeds and the optimizer's variables."""
    return [*trainer.transformer.variables, *trainer.optimizer.variables]


def share_state(strategy: tf.distribute.Strategy, trainer: Trainer) -> None:
    """Gives all machines the chief's state and step."""
    take_from_chief(strategy, state(trainer))
    trainer.step = int(next(chiefs_values(strategy, [trainer.step])))


def announce(run: RunDirectory, trainer: Trainer, data: Manifest, strategy: tf.distribute.Strategy) -> None:
    """Says what is about to be trained, on what, from where."""
    settings = run.configuration.training
    parameters = sum(math.prod(weight.shape) for weight in trainer.transformer.trainable_variables)
    examples = data.split("train").examples
    skipped = skipped_examples(data.data_dir, max_length=settings.max_length)
    replicas = strategy.num_replicas_in_sync
    say(f"{run.path}: {parameters:,} parameters, {settings.precision}, {replicas} replica(s)")
    say(f"{data.data_dir}: {examples - skipped:,} training pairs, {skipped:,} longer than {settings.max_length} tokens")
    if trainer.step >= settings.steps:
        cosine = settings.schedule == "cosine"
        further = "for more steps choose another --out" if cosine else "set training.steps higher to go on"
        say(f"already trained to step {trainer.step}; {further}")
    elif trainer.step and not stopped_early(run):
        say(f"going on from step {trainer.step} of {settings.steps}")


def _fit(
    run: RunDirectory | None,
    trainer: Trainer,
    data: Manifest,
    strategy: tf.distribute.Strategy,
    signals: StopSignals,
    *,
    profile: ProfiledSteps | None,
) -> None:
    """Trains, all steps as one Keras epoch: `Milestones` divides them. Without a run it follows the chief."""
    settings, agree = trainer.settings, partial(chiefs_word, strategy)
    progress = TrainingProgress(settings.steps, trainer.step)
    watch = DivergenceWatch(settings.spike_factor, settings.storm_steps)
    callbacks: list[keras.callbacks.Callback] = [SeesDivergence(watch), Followed(trainer, signals, agree=agree)]
    rollback = None
    if run and (not is_over(run, trainer.step) or is_unjudged(run, trainer.step)):
        log = StepLog(run.path, progress)
        milestones = Milestones(run, trainer, log, dev_evaluation(run, trainer, data, progress), signals, agree=agree)
        milestones.catch_up()
        # From the first step on there is something to lose.
        signals_wait = keras.callbacks.LambdaCallback(on_train_batch_end=lambda *_, **__: signals.hold_back())
        callbacks = [signals_wait, log, SeesDivergence(watch), milestones]
        rollback = Rollback(
            run,
            data.vocabulary(),
            lambda step: open_stream(data, settings, step),
            lambda: begin_anew(trainer, run.configuration, data),
            milestones.keep,
        )
    if agree(run is not None and is_over(run, trainer.step)):
        return
    if profile:
        profile.check(trainer.step, settings.steps)
        if run:
            callbacks.insert(2, Profile(run.path / "tensorboard", profile))  # the log waits for the step
    with progress.bar if run else nullcontext():
        _learn(trainer, data, strategy, watch=watch, callbacks=callbacks, rollback=rollback)


def _learn(
    trainer: Trainer,
    data: Manifest,
    strategy: tf.distribute.Strategy,
    *,
    watch: DivergenceWatch,
    callbacks: list[keras.callbacks.Callback],
    rollback: Rollback | None,
) -> None:
    """Keras `fit`, again and again where the training diverges."""
    steps = trainer.settings.steps
    while trainer.step < steps:
        watch.go_on_from(trainer.step)
        try:
            trainer.fit(
                divide(partial(open_stream, data, trainer.settings, trainer.step), strategy),
                steps_per_epoch=steps - trainer.step,
                callbacks=callbacks,
                verbose=0,
                shuffle=False,
            )
            return
        except Diverged as diverged:
            for callback in callbacks:
                callback.on_train_end()  # Keras leaves that out where an error ends `fit`
            recover(trainer, diverged, rollback)
        share_state(strategy, trainer)


def open_stream(data: Manifest, settings: TrainingConfig, first_step: int, host: Host = ONLY_HOST) -> tf.data.Dataset:
    """The training batches from a step on, or a machine's rows of them.

    Raises:
        DataError: The data and the settings do not go together.
    """
    return training_stream(
        data.data_dir,
        batch_tokens=settings.batch_tokens,
        max_length=settings.max_length,
        seed=settings.seed,
        start_batch=first_step,
        sampling_alpha=settings.sampling_alpha,
        corpus_temperature=settings.sampling_temperature,
        packed=is_packed(settings),
        host=host,
    )


def dev_batches(data: Manifest, settings: TrainingConfig) -> tf.data.Dataset:
    """The dev set in batches that need no more memory than the parts of a training batch.

    Raises:
        DataError: The data and the settings do not go together.
    """
    part_tokens = max(settings.batch_tokens // settings.accumulation, ROWS_MULTIPLE * settings.max_length)
    batch_tokens = min(part_tokens, settings.batch_tokens)
    return evaluation_stream(data.data_dir, batch_tokens=batch_tokens, max_length=settings.max_length)


def dev_evaluation(run: RunDirectory, trainer: Trainer, data: Manifest, progress: TrainingProgress) -> DevEvaluation:
    """What is measured on the dev set at each checkpoint."""
    settings = run.configuration.training
    return DevEvaluation(
        run.path,
        dev_batches(data, settings),
        dev_sentences(data, settings),
        dev_translations(trainer, run.configuration, data),
        languages=data.languages,
        progress=progress,
    )


def dev_translations(
    trainer: Trainer, configuration: Configuration, data: Manifest
) -> Callable[[list[str]], list[str]]:
    """Returns a function that translates lines with the weights as they are."""
    graph = TranslationGraph(trainer.transformer, data.vocabulary(), configuration.decoding)
    translator = Translator(graph.signatures())
    return lambda lines: [translation.text for translation in translator.translate(lines)]


def dev_sentences(data: Manifest, settings: TrainingConfig) -> tuple[list[str], list[str]]:
    """Sentences of the dev set's text, source and target: the first, or spread over it if it has tags."""
    source, target = (read_lines(path) for path in data.text("dev"))
    count = min(settings.dev_sentences, len(source))
    # The text of one language or domain may follow that of another.
    chosen = [i * len(source) // count for i in range(count)] if data.languages.tags else range(count)
    return [source[i] for i in chosen], [target[i] for i in chosen]
