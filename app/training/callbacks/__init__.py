"""Keras callbacks and contexts of a training: logs, checkpoints, evaluation, divergence and rollback, profiles."""
