"""Reads, writes, draws and linearizes constituency trees in the bracketed form of the Penn Treebank."""
