"""Turns text into batches of tensors and back; may touch disk and network, knows no model."""
