"""Two logical CPU devices for every test, so that distribution is tested without a GPU; and a quiet TensorFlow."""

from app.quiet import import_tensorflow

import_tensorflow(logical_cpus=2)
