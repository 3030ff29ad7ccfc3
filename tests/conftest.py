"""Two logical CPU devices for every test, so that distribution is tested without a GPU; and a quiet TensorFlow."""

import signal

from app.quiet import import_tensorflow

import_tensorflow(logical_cpus=2)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
