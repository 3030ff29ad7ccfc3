"""Turns text into batches of tensors and back; may use disk and network, but knows no model."""
