"""Writes an export: signatures, checks, warm-up requests, usage notes and the model card."""
