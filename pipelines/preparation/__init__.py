"""Converts corpora to shards and a vocabulary: `prepare()`, its phases, and its workers."""
