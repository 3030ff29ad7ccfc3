"""Decides which sentence pairs are kept: filters, duplicates, language identification."""
