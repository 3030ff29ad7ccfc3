"""Loads a run or an export for decoding, and knows how an export is laid out on disk."""
