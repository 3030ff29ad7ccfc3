"""Forced decoding: scores, alignments and attention of given translations, scores of given texts, steps of a search."""
