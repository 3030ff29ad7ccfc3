"""Runs a transformer or an ensemble for decoding: as graphs that are traced once, with a key/value cache for beams."""
