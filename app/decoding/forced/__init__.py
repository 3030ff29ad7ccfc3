"""Forced decoding: scores, alignments and attention of given translations, and the record of a search."""
