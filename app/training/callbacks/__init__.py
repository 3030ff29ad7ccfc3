"""Keras callbacks and context managers of a training: logs, checkpoints, evaluation, divergence, rollback, profiles."""
