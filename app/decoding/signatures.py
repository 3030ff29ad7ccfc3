"""The names of a translation graph's signatures, and how one is made."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import tensorflow as tf

Signatures = Mapping[str, Callable[..., Mapping[str, tf.Tensor]]]

TRANSLATE, N_BEST, PREFIX, ALTERNATIVES, SAMPLE, GLOSSARY, SCORE, ALIGN, TOKENIZE, DETOKENIZE = (
    "serving_default",
    "translate_nbest",
    "translate_prefix",
    "translate_alternatives",
    "translate_sample",
    "translate_glossary",
    "score",
    "align",
    "tokenize",
    "detokenize",
)


def signature(
    body: Callable[..., Mapping[str, tf.Tensor]],
    inputs: Sequence[tf.TensorSpec],
    defaults: Mapping[str, tf.Tensor] = {},  # nobody writes to it
) -> Callable[..., Mapping[str, tf.Tensor]]:
    """A function of the named inputs that is traced once, and whose inputs with defaults may be left out.

    TF Serving and the functions of a loaded SavedModel know the defaults; its `signatures` in Python must be told all.

    Args:
        body: Takes the inputs by name.
        inputs: Those that must be given.
        defaults: The others, scalars.
    """
    inputs = [*inputs, *(tf.TensorSpec([], value.dtype, name=name) for name, value in defaults.items())]
    names = [spec.name for spec in inputs]

    def function(*values: tf.Tensor) -> Mapping[str, tf.Tensor]:
        return body(**dict(zip(names, values, strict=True)))

    separate = partial(function)  # TensorFlow counts the tracings of each piece of code, and this one makes several
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters = [inspect.Parameter(name, kind, default=defaults.get(name, inspect.Parameter.empty)) for name in names]
    separate.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # TensorFlow reads it
    separate.__name__ = body.__name__  # type: ignore[attr-defined]
    traced: Any = tf.function(separate, input_signature=inputs)
    return traced


def inputs_of(function: Any) -> list[str]:
    """The names of the inputs of a function that `signature` made, or of such a one in a loaded SavedModel."""
    if hasattr(function, "structured_input_signature"):
        return list(function.structured_input_signature[1])
    return [spec.name for spec in function.input_signature]
