"""Completes a configuration with the settings that depend on the data and on the machine."""

from dataclasses import replace

from keras_nmt.app.config import Configuration, Sections
from keras_nmt.app.errors import UserError
from keras_nmt.app.tasks.known import task_named
from keras_nmt.app.training.packing import resolve_packing
from keras_nmt.app.training.precision import resolve_precision
from keras_nmt.pipelines.shards.manifest import Manifest


def resolve(sections: Sections, origin: str, data: Manifest) -> Configuration:
    """Returns the configuration, with the vocabulary size, precision, packing and maximum source length filled in.

    The settings that the task fixes replace those of the sections.

    Args:
        sections: The sections of a configuration, as `load_preset` returns them.
        origin: The source of the sections, for messages.
        data: The data to train on.

    Raises:
        UserError: A value is invalid, or does not fit the data.
    """
    given = sections.get("model", {})
    of_task = task_named(data.task).model_settings(data.vocabulary().pieces(), given)
    model = {"vocabulary_size": data.vocabulary_size, **given, **of_task}
    if model["vocabulary_size"] != data.vocabulary_size:
        raise UserError(
            f"{origin}: [model] vocabulary_size is {model['vocabulary_size']}, but the vocabulary of {data.data_dir} "
            f"has {data.vocabulary_size} pieces; leave the setting out"
        )
    configuration = Configuration.from_sections({**sections, "model": model}, origin)
    if configuration.model.logits_bias:
        raise UserError(f"{origin}: [model] logits_bias is for imported models and cannot be trained; leave it out")
    training = replace(
        configuration.training,
        precision=resolve_precision(configuration.training.precision),
        packing=resolve_packing(configuration.training.packing),
    )
    if task_named(data.task).metric is None and training.best_by in ("score", "bleu"):
        raise UserError(f'{origin}: best_by is "{training.best_by}", but a {data.task} has no score; use "loss"')
    trained_tokens = training.max_length - 1  # the longest source in training, without EOS
    decoding = configuration.decoding
    decoding = replace(decoding, max_source_tokens=min(decoding.max_source_tokens, max(1, trained_tokens)))
    return replace(configuration, training=training, decoding=decoding)
