"""The parts of a model: attention, feed-forward network, residual connection, normalisation, word pointer, copying."""
