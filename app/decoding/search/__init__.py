"""Search over an opaque step function: beam search, constrained search and sampling. No strings."""
