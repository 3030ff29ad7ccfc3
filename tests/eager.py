"""TensorFlow's functions run as Python, for tests to which the trace of a function is no matter."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def eager() -> Iterator[None]:
    """Within it no function is traced, which takes seconds; but each step of a loop takes longer."""
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions_eagerly`")
            yield
    finally:
        tf.config.run_functions_eagerly(False)
