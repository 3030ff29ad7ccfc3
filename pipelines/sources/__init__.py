"""The kinds of corpora, one module each; `pipelines.corpora` chooses among them."""
