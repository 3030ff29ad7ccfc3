"""Eager execution of TensorFlow functions, for tests that need no tracing."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import tensorflow as tf


@contextmanager
def eager() -> Iterator[None]:
    """Runs `tf.function`s eagerly within the context: saves seconds of tracing, but each loop step is slower."""
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Even though the `tf.config.experimental_run_functions_eagerly`")
            yield
    finally:
        tf.config.run_functions_eagerly(False)
