"""The tasks of the Transformer, one module each: translation, summarization, and so on."""
