"""Translation of plain text, HTML and Word files, in which the formatting moves with its words."""
