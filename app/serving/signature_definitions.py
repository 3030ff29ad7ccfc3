"""The signatures of a SavedModel as a server finds them in the file, without loading the model."""

from pathlib import Path

from tensorflow.core.protobuf.meta_graph_pb2 import SignatureDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from app.decoding.signatures import TRANSLATE


def signature_definitions(version: Path) -> dict[str, SignatureDef]:
    """By name; the names of inputs, their data types and shapes, and the defaults of those that have one.

    The one that is served by default comes first.

    Args:
        version: The folder that holds saved_model.pb.
    """
    saved = SavedModel.FromString((version / "saved_model.pb").read_bytes())
    definitions = saved.meta_graphs[0].signature_def
    # Those that are called; TensorFlow's own, which initialises, has no method.
    names = sorted((name for name in definitions if definitions[name].method_name), key=lambda n: (n != TRANSLATE, n))
    return {name: definitions[name] for name in names}
