"""Loads models, forms batches and admits requests. Knows nothing of HTTP routes."""
