"""Removes duplicate and unused ops from a SavedModel, because its loading time grows with the number of ops.

Tracing adds a new op each time that a shape, axis or constant is used, and also adds ops whose outputs are never read.
TensorFlow removes such ops too, but only when a function is first called, and again after each loading of the model.
"""

from pathlib import Path

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint


def remove_spare_ops(folder: Path) -> None:
    """Removes duplicate and unused ops from the functions of the SavedModel in `folder`.

    The functions still return the same results.
    """
    path = folder / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        for function in graph.graph_def.library.function:
            merge_equal(function)
            drop_unread(function)
    path.write_bytes(model.SerializeToString(deterministic=True))
    write_fingerprint(str(folder))


def merge_equal(function: FunctionDef) -> None:
    """Merges ops that compute the same from the same inputs.

    Of several equal ops, the first is kept and the others are removed. Ops that read the output of a removed op then
    read the output of the first op. Ops with state, such as ops that read variables or draw random numbers, are not
    merged.
    """
    first: dict[object, str] = {}
    merged: dict[str, str] = {}  # name of a removed op -> name of the op that replaces it

    def renamed(tensor: str) -> str:
        """Replaces the name of a merged op in the input of another op.

        The input is "name:output:number" for a tensor, or "^name" for an op that must run before.
        """
        mark = "^" if tensor.startswith("^") else ""
        name, colon, output = tensor.removeprefix("^").partition(":")
        return f"{mark}{merged.get(name, name)}{colon}{output}"

    doubles = []
    for number, node in enumerate(function.node_def):  # ops are in topological order
        node.input[:] = [renamed(tensor) for tensor in node.input]
        if has_state(node):
            continue
        attributes = sorted((name, value.SerializeToString(deterministic=True)) for name, value in node.attr.items())
        computation = (node.op, node.device, *node.input, *attributes)
        if computation in first:
            merged[node.name] = first[computation]
            doubles.append(number)
        first.setdefault(computation, node.name)
    for number in reversed(doubles):
        del function.node_def[number]
    for name, tensor in list(function.ret.items()):
        function.ret[name] = renamed(tensor)


def drop_unread(function: FunctionDef) -> None:
    """Removes ops that neither the function's outputs nor an op with state depends on."""
    nodes = {node.name: node for node in function.node_def}
    to_visit = [*map(op_of, function.ret.values()), *function.control_ret.values()]
    to_visit += [node.name for node in function.node_def if has_state(node)]
    read: set[str] = set()
    while to_visit:
        name = to_visit.pop()
        if name in nodes and name not in read:  # names that are not nodes are inputs of the function
            read.add(name)
            to_visit += map(op_of, nodes[name].input)
    for number in reversed(range(len(function.node_def))):
        if function.node_def[number].name not in read:
            del function.node_def[number]


def has_state(node: NodeDef) -> bool:
    """Returns True if an op has state, so that its result may change between calls."""
    return bool(op_def_registry.get(node.op).is_stateful)


def op_of(tensor: str) -> str:
    """Returns the name of the op in "name:output:number" or "^name"."""
    return tensor.removeprefix("^").partition(":")[0]
