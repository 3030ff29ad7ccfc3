"""TensorFlow, imported and started without its greetings on stderr.

Its C++ libraries write lines to file descriptor 2 before any setting of theirs can stop them.
"""

import os
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from app.runtime.processor_settings import apply_processor_settings
from app.runtime.processors import processors


def import_tensorflow(logical_cpus: int = 1, *, start: bool = True, batches_at_once: int = 1) -> None:
    """Imports TensorFlow and Keras; shows what they wrote only if that fails.

    `logical_cpus` devices share the processor; with 2, distribution can be tried without a GPU. With `start` its
    devices are started too; a process that is to join others must not do so before. With `batches_at_once` threads
    that call TensorFlow, each op takes its share of the processors, and one thread at least, unless the environment
    says otherwise in TF_NUM_INTRAOP_THREADS.
    """
    apply_processor_settings()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["KERAS_BACKEND"] = "tensorflow"  # a choice of the user's for other programs
    os.environ.pop("TF_USE_LEGACY_KERAS", None)
    if batches_at_once > 1 and "tensorflow" not in sys.modules:  # which reads it once, when it starts
        os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(max(1, processors() // batches_at_once)))
    with held_stderr(), ending_at_once():
        import keras
        import tensorflow as tf
        import tensorflow_text  # noqa: F401

        keras.config.set_floatx("float32")  # ~/.keras/keras.json may say otherwise
        if logical_cpus > 1:
            cpu = tf.config.list_physical_devices("CPU")[0]
            devices = [tf.config.LogicalDeviceConfiguration()] * logical_cpus
            tf.config.set_logical_device_configuration(cpu, devices)
        if start:
            tf.config.list_logical_devices()  # this too is talkative the first time


@contextmanager
def answering_soon() -> Iterator[None]:
    """Within it TensorFlow runs new graphs as they are; improving that of a search takes longer than a few lines do."""
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
    """Holds back what is written to stderr, and lets it go only if an error leaves the block."""
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
def ending_at_once() -> Iterator[None]:
    """Within it Ctrl-C ends the process: raised in the middle of TensorFlow's import it comes out as another error."""
    before = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()  # no other thread may set handlers
    replaced = in_main_thread and before is not signal.SIG_IGN
    if replaced:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        if replaced:
            signal.signal(signal.SIGINT, before)
