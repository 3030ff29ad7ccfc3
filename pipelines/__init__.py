"""Converts text to batches of tensors and back. It may use disk and network, and does not depend on the model."""
