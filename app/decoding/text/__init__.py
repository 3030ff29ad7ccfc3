"""Cuts texts into sentences for the model, and joins the translations of the sentences into texts."""
