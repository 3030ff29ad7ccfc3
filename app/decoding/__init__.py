"""Decoding: from a trained model to translated text."""
