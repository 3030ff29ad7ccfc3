"""Takes out of a SavedModel what is computed twice or for nobody, for it takes as long to load as it has ops.

Tracing writes every shape, axis and constant anew wherever it is used, and some that nobody reads. TensorFlow takes
them out too, but each time that it has loaded the model, when a function is first called.
"""

from pathlib import Path

from tensorflow.core.framework.function_pb2 import FunctionDef
from tensorflow.core.framework.node_def_pb2 import NodeDef
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel
from tensorflow.python.framework import op_def_registry
from tensorflow.python.saved_model.fingerprinting_utils import write_fingerprint


def take_out_spare_ops(folder: Path) -> None:
    """Rewrites the functions of the SavedModel in `folder`; they give what they gave."""
    path = folder / "saved_model.pb"
    model = SavedModel.FromString(path.read_bytes())
    for graph in model.meta_graphs:
        for function in graph.graph_def.library.function:
            merge_equal(function)
            drop_unread(function)
    path.write_bytes(model.SerializeToString(deterministic=True))
    write_fingerprint(str(folder))


def merge_equal(function: FunctionDef) -> None:
    """Leaves the first of ops that compute the same of the same inputs, and has the others' users read from it.

    Ops with state, such as those that read variables or draw random numbers, all stay.
    """
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
        if has_state(node):
            continue
        attributes = sorted((name, value.SerializeToString(deterministic=True)) for name, value in node.attr.items())
        what = (node.op, node.device, *node.input, *attributes)
        if what in first:
            merged[node.name] = first[what]
            doubles.append(number)
        first.setdefault(what, node.name)
    for number in reversed(doubles):
        del function.node_def[number]
    for name, tensor in list(function.ret.items()):
        function.ret[name] = now(tensor)


def drop_unread(function: FunctionDef) -> None:
    """Leaves what the function's outputs are computed from, and what has state."""
    nodes = {node.name: node for node in function.node_def}
    to_visit = [*map(name_of, function.ret.values()), *function.control_ret.values()]
    to_visit += [node.name for node in function.node_def if has_state(node)]
    read: set[str] = set()
    while to_visit:
        name = to_visit.pop()
        if name in nodes and name not in read:  # the others are the function's inputs
            read.add(name)
            to_visit += map(name_of, nodes[name].input)
    for number in reversed(range(len(function.node_def))):
        if function.node_def[number].name not in read:
            del function.node_def[number]


def has_state(node: NodeDef) -> bool:
    """Whether it may do something else the next time."""
    return bool(op_def_registry.get(node.op).is_stateful)


def name_of(tensor: str) -> str:
    """The op of "name:output:number" or "^name"."""
    return tensor.removeprefix("^").partition(":")[0]
