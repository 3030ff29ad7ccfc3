"""Converts models that other programs trained into runs."""
