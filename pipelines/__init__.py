"""Converts text to batches of tensors and back. The package uses disk and network, not the model."""
