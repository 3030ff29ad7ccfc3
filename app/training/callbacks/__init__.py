"""Keras callbacks and contexts that watch a training: evaluation, checkpoints, rollback, profiling."""
