"""Streams batches from shards: windows, batching, packing, mixing and subword regularisation."""
