"""Describes the signatures of an export in TensorFlow Serving's format, `SignatureDef`.

The signatures of a SavedModel are read from its file, without loading the model. The signatures of another engine are
described from its functions.
"""

import inspect
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef, TensorInfo
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_nmt.app.decoding.signatures import DEFAULT, Signature, Signatures


def signature_definitions(version: Path) -> dict[str, SignatureDef]:
    """Reads the inputs, outputs and defaults of a SavedModel's signatures from its file.

    The descriptions are returned by name, `serving_default` first.

    Args:
        version: The folder with saved_model.pb.
    """
    saved = SavedModel.FromString((version / "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    # The signature that TensorFlow adds for initialisation has no method name.
    names = sorted((name for name in definitions if definitions[name].method_name), key=lambda n: (n != DEFAULT, n))
    return {name: definitions[name] for name in names}


def definitions_of(signatures: Signatures) -> dict[str, SignatureDef]:
    """Describes the signatures of an engine, which are TensorFlow functions.

    The descriptions are returned by name, `serving_default` first.
    """
    names = sorted(signatures, key=lambda n: (n != DEFAULT, n))
    return {name: _definition(signatures[name]) for name in names}


def _definition(function: Signature) -> SignatureDef:
    traced: Any = getattr(function, "fallback", function)  # `PlainTranslation` keeps its graph there
    definition = SignatureDef(method_name="tensorflow/serving/predict")
    for spec in traced.input_signature:
        _describe(definition.inputs[spec.name], spec)
    for name, output in traced.get_concrete_function().structured_outputs.items():
        _describe(definition.outputs[name], output)
    for name, parameter in inspect.signature(traced.python_function).parameters.items():
        if parameter.default is not inspect.Parameter.empty:
            definition.defaults[name].CopyFrom(tf.make_tensor_proto(parameter.default.numpy()))
    return definition


def _describe(info: TensorInfo, value: tf.Tensor | tf.TensorSpec) -> None:
    info.dtype = tf.as_dtype(value.dtype).as_datatype_enum
    info.tensor_shape.CopyFrom(tf.TensorShape(value.shape).as_proto())
