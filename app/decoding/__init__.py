"""Decoding: from a trained model to translated or generated text."""
