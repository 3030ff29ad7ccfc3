"""A transformer or an ensemble as decoding runs it: traced once, with a key/value cache that beams share."""
