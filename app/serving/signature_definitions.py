"""The signatures of a SavedModel as a server finds them in the file, without loading the model."""

from pathlib import Path

from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel


def signature_definitions(version: Path) -> dict[str, SignatureDef]:
    """By name; the names of inputs, their data types and shapes, and the defaults of those that have one.

    Args:
        version: The folder that holds saved_model.pb.
    """
    saved = SavedModel.FromString((version / "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    # TensorFlow's own, which initialises, has no method.
    return {name: definitions[name] for name in sorted(definitions) if definitions[name].method_name}
