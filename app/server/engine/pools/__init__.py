"""Bounded pools of threads and processes for work outside of the batches."""
