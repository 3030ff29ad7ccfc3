"""Subword regularisation: draws a segmentation of each sentence anew in each epoch."""
