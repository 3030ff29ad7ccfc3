"""Imports models that other programs trained, as runs."""
