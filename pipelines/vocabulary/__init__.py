"""Vocabularies: their training, the tokenizer in the graph, tags, and Marian's files."""
