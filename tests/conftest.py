"""Two logical CPU devices for every test, so that distribution is tested without a GPU; and a TensorFlow in haste."""

import gc
import os
import signal

import hypothesis

from app.runtime.tensorflow_start import import_tensorflow

hypothesis.settings.register_profile("any machine", deadline=None)  # a busy one takes long for an example
hypothesis.settings.load_profile("any machine")

import_tensorflow(logical_cpus=2)
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins with it ignored
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # and one under nohup with this one

# Tracing makes many objects and no garbage: the collector looks for it less often, and never in what was imported.
gc.collect()
gc.freeze()
gc.set_threshold(50_000, 20, 100)

# What the optimisation of graphs takes is a fifth of the suite's time. Graphs are optimised where users' are: in the
# processes that tests launch, in the quick demonstration of the checks, and in the slow tests.
if "PYTEST_XDIST_WORKER" in os.environ:
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
