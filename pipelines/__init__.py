"""Converts text to batches of tensors and back. Uses disk and network, and does not depend on the model."""
