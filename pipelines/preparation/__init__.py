"""Turns corpora into shards and a vocabulary: `prepare()` and its phases, which worker processes share."""
