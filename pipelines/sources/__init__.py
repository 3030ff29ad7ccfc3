"""Reads raw text: one module for each kind of corpus, from which `pipelines.sources.corpora` chooses."""
