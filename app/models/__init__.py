"""Loads runs and exports for decoding; defines the files of an export."""
