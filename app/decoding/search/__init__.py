"""Beam search, constrained search, tree search and sampling. They see a model only as a step function; no strings."""
