"""Forced decoding: scores, alignments and attention of given translations. Also records the steps of a search."""
