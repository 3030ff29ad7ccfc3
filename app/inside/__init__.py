"""A run seen from inside: the model at each checkpoint, and single training steps, for `nmt serve --inside`."""
