"""Projection of the source spans onto the tokens of a translation."""
