"""The parts of a model: embedding, attention, feed-forward network, residual connection, normalisation, dropout."""
