"""Shards of records: the manifest, writing, and reading."""
