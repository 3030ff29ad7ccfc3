"""Starts TensorFlow for all tests with two logical CPU devices, so that distribution is tested without a GPU."""

import gc
import os
import signal
import time

import hypothesis
import pytest

from keras_nmt.app.runtime.tensorflow_start import import_tensorflow

hypothesis.settings.register_profile("any machine", deadline=None)  # an example may take long on a busy one
hypothesis.settings.load_profile("any machine")


def pytest_configure(config: pytest.Config) -> None:
    """Starts TensorFlow in the processes that run tests, but not in the one that deals the tests to others."""
    if "PYTEST_XDIST_WORKER" in os.environ or not config.getoption("tx", None):
        start()


def start() -> None:
    import_tensorflow(logical_cpus=2)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job of a shell starts with SIGINT ignored
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and a process under nohup with SIGHUP ignored

    # Tracing creates many objects and little garbage: collect less often, and never scan imported modules.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)

    # Graph optimisation takes a fifth of the suite's time, so it is off here. It stays on in processes that tests
    # start, in the quick demo of the checks, and in slow tests. The stack of each op takes an eighth of tracing, and
    # only an error of an op shows it: here, all ops share one.
    if "PYTEST_XDIST_WORKER" in os.environ:
        import tensorflow as tf
        from tensorflow.python.util import tf_stack

        tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
        shared_stack = tf_stack.extract_stack()
        tf_stack.extract_stack = lambda *_, **__: shared_stack


SECONDS_BETWEEN_COLLECTIONS = 5.0  # of processor time; a collection takes half a second
collected = time.process_time()


@pytest.fixture(scope="module", autouse=True)
def graphs_are_freed() -> None:
    """Frees the graphs of earlier modules, which refer to themselves: an export leaves half a gigabyte of them.

    What is left is kept until the end: caches and fixtures of the session. Later collections do not scan it again,
    neither these nor those at the end of each training. Before a module, and not after one, since pytest keeps the
    fixtures of the last test until then.
    """
    global collected  # noqa: PLW0603
    if time.process_time() > collected + SECONDS_BETWEEN_COLLECTIONS:
        gc.collect()
        gc.freeze()
        collected = time.process_time()
