"""Vocabularies: training, encoding and decoding (with TensorFlow and without), tags, and Marian's vocabularies."""
