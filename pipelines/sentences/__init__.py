"""Finds the ends of sentences, and cuts texts that are longer than a model can read."""
