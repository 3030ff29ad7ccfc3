"""The view "Inside the Transformer" as one file, with the numbers of one sentence: `nmt inside`."""
