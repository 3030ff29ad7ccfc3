"""Imports and starts TensorFlow without its log lines on stderr.

TensorFlow's C++ libraries write to file descriptor 2 before any setting can turn their logs off.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from keras_nmt.app.runtime.processor_settings import apply_processor_settings
from keras_nmt.app.runtime.processors import processors


def import_tensorflow(logical_cpus: int = 1, *, start: bool = True, batches_at_once: int = 1) -> None:
    """Imports TensorFlow and Keras. Shows their log lines only if the import fails.

    Args:
        logical_cpus: The number of logical devices into which the CPU is divided. Two devices are enough to test
            distributed training without a GPU.
        start: True to also initialize the devices. Must be False in a process that will join a cluster.
        batches_at_once: The number of threads that will call TensorFlow. If it is above 1, each op uses
            `processors() // batches_at_once` threads, at least one, unless TF_NUM_INTRAOP_THREADS is set.
    """
    apply_processor_settings()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # the user may have set it for other programs
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    if batches_at_once > 1 and "tensorflow" not in sys.modules:  # TensorFlow reads the variable only once
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, processors() // batches_at_once)))
    with held_stderr(), sigint_ends_process():
        import keras
        import tensorflow as tf
        import tensorflow_text  # noqa: F401

        keras.config.set_floatx("float32")  # ~/.keras/keras.json may say otherwise
        if logical_cpus > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            devices = [tf.config.LogicalDeviceConfiguration()] * logical_cpus
            tf.config.set_logical_device_configuration(cpu, devices)
        if start:
            tf.config.list_logical_devices()  # the first call writes log lines, too


@contextmanager
def without_graph_optimization() -> Iterator[None]:
    """Turns off TensorFlow's graph optimization inside the context.

    When only a few lines are translated, the optimization takes longer than the time that it saves.
    """
    import tensorflow as tf

    key = "disable_meta_optimizer"
    before = tf.config.optimizer.get_experimental_options().get(key, False)
    tf.config.optimizer.set_experimental_options({key: True})
    try:
        yield
    finally:
        tf.config.optimizer.set_experimental_options({key: before})


@contextmanager
def held_stderr() -> Iterator[None]:
    """Captures the output to stderr inside the context, and prints it only after an error."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)


@contextmanager
def sigint_ends_process() -> Iterator[None]:
    """Makes Ctrl-C end the process inside the context.

    Otherwise TensorFlow's import would replace `KeyboardInterrupt` by another exception.
    """
    before = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()  # other threads cannot set handlers
    replaced = in_main_thread and before is not signal.SIG_IGN
    if replaced:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if replaced:
            signal.signal(signal.SIGINT, before)
