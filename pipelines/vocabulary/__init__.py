"""Vocabularies: training, encoding and decoding in the graph and outside, tags, and Marian's vocabularies."""
