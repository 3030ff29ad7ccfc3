"""Takes out of a SavedModel what it computes twice, for it takes as long to load as it has ops.

Tracing writes every shape, axis and constant anew wherever it is used. TensorFlow merges them too, but each time that
it has loaded the model, and a function at a time when it is first called.
"""

from pathlib import Path

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint


def merge_equal_ops(folder: Path) -> None:
    """Rewrites the functions of the SavedModel in `folder`, so that each op without state is there once."""
    path = folder / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        for function in graph.graph_def.library.function:
            merge_in_function(function)
    path.write_bytes(model.SerializeToString(deterministic=True))
    write_fingerprint(str(folder))


def merge_in_function(function: FunctionDef) -> None:
    """Leaves the first of ops that compute the same of the same inputs, and has the others' users read from it."""
    first: dict[object, str] = {}
    merged: dict[str, str] = {}  # the name of an op that is left out -> of the one that takes its place

    def now(tensor: str) -> str:
        """ "name:output:number", or "^name" for an op that is to run before."""
        mark = "^" if tensor.startswith("^") else ""
        name, colon, output = tensor.removeprefix("^").partition(":")
        return f"{mark}{merged.get(name, name)}{colon}{output}"

    doubles = []
    for number, node in enumerate(function.node_def):  # an op comes behind those that it reads from
        node.input[:] = [now(tensor) for tensor in node.input]
        if op_def_registry.get(node.op).is_stateful:
            continue
        attributes = sorted((name, value.SerializeToString(deterministic=True)) for name, value in node.attr.items())
        what = (node.op, node.device, *node.input, *attributes)
        if what in first:
            merged[node.name] = first[what]
            doubles.append(number)
        first.setdefault(what, node.name)
    for number in reversed(doubles):
        del function.node_def[number]
    for name, tensor in function.ret.items():
        function.ret[name] = now(tensor)
