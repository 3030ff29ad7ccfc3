"""Peers of the training benchmark: one script each, run by the Python of the peer's environment."""
