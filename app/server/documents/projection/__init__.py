"""Projects the source spans onto the tokens of a translation: finds the source span of each token."""
