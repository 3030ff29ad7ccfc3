"""Decides which sentence pairs are kept: filters, search for duplicates, language identification."""
