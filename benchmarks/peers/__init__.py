"""Scripts that train the peers of the training benchmark, one for each peer, run by its environment's Python."""
