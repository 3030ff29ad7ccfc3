"""The transformer as decoding runs it: one or an ensemble, traced once, with a cache that beams share."""
