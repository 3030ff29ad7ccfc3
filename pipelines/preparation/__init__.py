"""Turns corpora into shards and a vocabulary: `prepare()`, its phases, and its workers."""
