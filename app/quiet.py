"""TensorFlow, imported without its greetings on stderr.

Its C++ libraries write lines to file descriptor 2 before any setting of theirs can stop them.
"""

import os
import sys
import tempfile


def import_tensorflow() -> None:
    """Imports TensorFlow and Keras; shows what they wrote only if that fails."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            import keras  # noqa: F401
            import tensorflow as tf
            import tensorflow_text  # noqa: F401

            tf.config.list_logical_devices()  # this too is talkative the first time
        except BaseException:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
