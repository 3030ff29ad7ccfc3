"""Bounded pools of threads and processes for work that is not batched."""
