"""Scores of outputs against references, beyond those of sacreBLEU."""
