"""Builds the corpora that benchmarks train on, stream and prepare."""
