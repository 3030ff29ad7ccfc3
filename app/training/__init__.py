"""Trains a model on prepared data with a configuration, and writes a run with checkpoints."""
