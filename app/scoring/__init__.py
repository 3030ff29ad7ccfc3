"""Scores of model output against references, one module a measure."""
