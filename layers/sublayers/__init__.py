"""Parts of encoder and decoder: attention, feed-forward, residual connection, normalisation, dropout, word pointer."""
