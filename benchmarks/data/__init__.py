"""Builds the corpora of the benchmarks for training, streaming and preparation."""
