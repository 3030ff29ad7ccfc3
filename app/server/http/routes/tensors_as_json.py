"""Converts between tensors and the JSON of TensorFlow Serving's REST interface.

The JSON contains tensors by rows ("instances", "predictions") or by columns ("inputs", "outputs").

https://www.tensorflow.org/tfx/serving/api_rest
"""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef

from keras_nmt.app.server.errors import RequestError

BINARY = "_bytes"  # suffix of the names of outputs whose strings are not always text


def inputs_of_body(body: Any, definition: SignatureDef) -> tuple[dict[str, np.ndarray], bool]:
    """Reads the inputs of a signature from a request.

    Args:
        body: Parsed JSON of the request.
        definition: Definition of the signature.

    Returns:
        The inputs by name, and True if the request contains the inputs by rows, else False.

    Raises:
        RequestError: The body does not have exactly one of "instances" and "inputs", an input is missing or unknown, or
            a value does not have the type or shape that the signature takes.
    """
    if not isinstance(body, Mapping) or ("instances" in body) == ("inputs" in body):
        raise RequestError('the body must be a JSON object with either "instances" or "inputs"')
    by_rows = "instances" in body
    required = [name for name in definition.inputs if name not in definition.defaults]
    given = columns_of(body["instances"], required) if by_rows else body["inputs"]
    if not isinstance(given, Mapping):
        if len(required) != 1:
            raise RequestError(f"this signature has several inputs; name them: {', '.join(sorted(required))}")
        given = {required[0]: given}
    if unknown := sorted(given.keys() - definition.inputs.keys()):
        raise RequestError(f"there is no input {unknown[0]}; there are: {', '.join(sorted(definition.inputs))}")
    if missing := sorted(set(required) - given.keys()):
        raise RequestError(f"the input {missing[0]} is missing")
    return {name: array_of(name, value, definition) for name, value in given.items()}, by_rows


def columns_of(instances: Any, required: list[str]) -> dict[str, list[Any]]:
    """Converts rows to columns: returns the values of all rows for each input.

    Args:
        instances: List of rows. A row is a JSON object with the values of the inputs by name, or the value of the only
            required input.
        required: Names of the inputs without a default.

    Raises:
        RequestError: There are no rows, or the rows have different inputs.
    """
    if not isinstance(instances, list) or not instances:
        raise RequestError('"instances" must be a list that is not empty')
    named = [
        row if isinstance(row, Mapping) and "b64" not in row else dict.fromkeys(required[:1], row) for row in instances
    ]
    if any(row.keys() != named[0].keys() for row in named):
        raise RequestError('all "instances" must have the same inputs')
    return {name: [row[name] for row in named] for name in named[0]}


def array_of(name: str, value: Any, definition: SignatureDef) -> np.ndarray:
    """Converts a JSON value to the array that the signature takes as the input `name`.

    Raises:
        RequestError: The value has the wrong type or number of axes, or its rows differ in length.
    """
    info = definition.inputs[name]
    wanted = tf.as_dtype(info.dtype)
    kinds = {tf.string: (bytes,), tf.int32: (int,), tf.float32: (int, float)}[wanted]
    plain = decoded(value)
    checked = [plain]
    while checked and isinstance(checked[0], list):
        if not all(isinstance(one, list) for one in checked):
            raise RequestError(f"the input {name} has rows of different depth")
        checked = [inner for one in checked for inner in one]
    if any(not isinstance(one, kinds) or isinstance(one, bool) for one in checked):
        raise RequestError(f"the input {name} takes only {wanted.name} values")
    try:
        array = np.array(plain, object if wanted == tf.string else wanted.as_numpy_dtype)
    except (ValueError, OverflowError) as error:
        raise RequestError(f"the input {name}: rows of different length, or numbers that are too large") from error
    axes = [axis.size for axis in info.tensor_shape.dim]
    if array.ndim != len(axes):
        raise RequestError(f"the input {name} has {array.ndim} axes; the signature takes {len(axes)}")
    return array


def decoded(value: Any) -> Any:
    """Converts strings and objects {"b64": …} to bytes, also in nested lists. Other values stay unchanged.

    Raises:
        RequestError: The value of "b64" is not base64.
    """
    if isinstance(value, list):
        return [decoded(one) for one in value]
    if isinstance(value, str):
        return value.encode("utf-8", "replace")
    if isinstance(value, Mapping) and set(value) == {"b64"}:
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (binascii.Error, TypeError, ValueError) as error:
            raise RequestError('the value of "b64" is not base64') from error
    return value


def body_of_outputs(outputs: Mapping[str, np.ndarray], *, by_rows: bool) -> dict[str, Any]:
    """Returns the JSON of the answer, by rows or by columns. If there is only one output, its name is left out."""
    plain = {name: json_values(values, binary=name.endswith(BINARY)) for name, values in outputs.items()}
    if by_rows:
        rows = [dict(zip(plain, values, strict=True)) for values in zip(*plain.values(), strict=True)]
        return {"predictions": [next(iter(row.values())) for row in rows] if len(plain) == 1 else rows}
    return {"outputs": next(iter(plain.values())) if len(plain) == 1 else plain}


def json_values(values: Any, *, binary: bool) -> Any:
    """Converts an array to JSON values.

    Args:
        values: An array, or an element of an array.
        binary: True to write strings as objects {"b64": …}, False to decode them as UTF-8.

    Returns:
        Nested lists, or a single value for an element. A float32 is written with the fewest digits that distinguish it
        from all other float32 numbers.
    """
    if isinstance(values, np.ndarray):
        return [json_values(one, binary=binary) for one in values]
    if isinstance(values, bytes):
        return {"b64": base64.b64encode(values).decode()} if binary else values.decode("utf-8", "replace")
    return float(str(values)) if isinstance(values, np.float32) else values.item()


def metadata_of(model: str, number: int, definitions: Mapping[str, SignatureDef]) -> dict[str, Any]:
    """Returns the description of a model's signatures as TensorFlow Serving writes it in JSON."""
    by_name = {}
    for name, definition in definitions.items():
        without_defaults = SignatureDef()
        without_defaults.CopyFrom(definition)
        without_defaults.ClearField("defaults")  # TensorFlow Serving's protocol does not have this field
        by_name[name] = json_format.MessageToDict(
            without_defaults, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
        )
    return {
        "model_spec": {"name": model, "signature_name": "", "version": str(number)},
        "metadata": {"signature_def": {"signature_def": by_name}},
    }
