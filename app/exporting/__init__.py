"""Writes exports: the model, golden translations, warm-up requests, usage notes and the model card."""
