"""Beam search, constrained search and sampling. They see a model only as a step function, and handle no strings."""
