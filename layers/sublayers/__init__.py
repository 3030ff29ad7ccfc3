"""The parts of an encoder or decoder layer: attention, feed-forward, residual connection, normalisation, dropout."""
