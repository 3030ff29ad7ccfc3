"""Duplicate and unused ops are removed from a SavedModel; ops that only look alike stay."""

from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from keras_nmt.app.exporting.spare_ops import remove_spare_ops


class Twice(tf.Module):
    """Pairs of ops: equal, with other inputs, with other attributes, random, and in a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = tf.Variable(0)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.float32)], autograph=False)
    def call(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
        self.seen.assign_add(1)
        before = tf.identity(self.seen)
        self.seen.assign_add(1)
        tf.cumsum(x)  # unused
        _, looped = tf.while_loop(lambda i, _: i < 3, lambda i, y: (i + 1, tf.sqrt(y) + tf.sqrt(y)), (0, x))
        return {
            "same": tf.sqrt(x) + tf.sqrt(x),
            "again": tf.sqrt(x) + tf.sqrt(x),
            "others": tf.sqrt(x) + tf.sqrt(x + 1.0),
            "whole": tf.reduce_sum(x) + tf.reduce_sum(x, keepdims=True)[0],
            "random": tf.random.uniform([4]) - tf.random.uniform([4]),
            "looped": looped,
            "counted": self.seen - before,
        }


def ops(folder: Path) -> list[str]:
    model = SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    return [node.op for function in model.meta_graphs[0].graph_def.library.function for node in function.node_def]


def test_removing_spare_ops_does_not_change_results(tmp_path: Path) -> None:
    tf.saved_model.save(Twice(), str(tmp_path))
    x = tf.constant([1.0, 4.0, 9.0])
    loaded = tf.saved_model.load(str(tmp_path))
    expected = loaded.call(x)
    before = ops(tmp_path)
    remove_spare_ops(tmp_path)
    after = ops(tmp_path)
    assert (before.count("Sqrt"), after.count("Sqrt")) == (8, 3)  # of x, of x + 1, in the loop
    assert (before.count("Cumsum"), after.count("Cumsum")) == (1, 0)
    for op in ("RandomUniform", "AssignAddVariableOp", "ReadVariableOp", "Sum"):
        assert before.count(op) == after.count(op) > 1
    loaded = tf.saved_model.load(str(tmp_path))
    found = loaded.call(x)
    for name in found.keys() - {"random"}:
        assert found[name].numpy().tolist() == expected[name].numpy().tolist(), name
    assert all(found["random"].numpy() != 0)


def test_the_fingerprint_is_updated(tmp_path: Path) -> None:
    tf.saved_model.save(Twice(), str(tmp_path))
    before = tf.saved_model.experimental.read_fingerprint(str(tmp_path)).saved_model_checksum
    remove_spare_ops(tmp_path)
    after = tf.saved_model.experimental.read_fingerprint(str(tmp_path)).saved_model_checksum
    remove_spare_ops(tmp_path)
    assert before != after == tf.saved_model.experimental.read_fingerprint(str(tmp_path)).saved_model_checksum
