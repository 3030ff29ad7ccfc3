"""The sublayers of a block: attention, feed-forward network, and what surrounds each of them."""
