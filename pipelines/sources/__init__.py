"""The kinds of corpora, one module each; `pipelines.sources.corpora` chooses among them."""
