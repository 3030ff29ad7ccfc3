"""The training objective, and its parts for models that copy and for R-Drop."""
