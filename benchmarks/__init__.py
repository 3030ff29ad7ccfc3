"""Benchmarks of this program and of its alternatives; see README.md."""
