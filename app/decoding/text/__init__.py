"""Cuts texts into the sentences that the model reads, and joins its translations to texts again."""
