"""Forced decoding: what the model says of a given translation: its score, its alignment, its attention."""
