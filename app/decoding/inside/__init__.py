"""Shows what a model computes for one sentence: embeddings, attention, residual streams, distributions, the search."""
