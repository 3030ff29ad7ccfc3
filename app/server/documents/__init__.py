"""Translates HTML and Word documents: reads the marked text, translates it, writes it back."""
