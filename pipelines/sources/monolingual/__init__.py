"""Reads corpora that are not parallel text: running text and treebanks."""
