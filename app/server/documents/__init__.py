"""Translates plain text, HTML and Word files. The formatting moves with the words that it applies to."""
