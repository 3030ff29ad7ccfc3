"""`nmt serve`: serves exports over HTTP, with a page. It loads SavedModels and none of the training code."""
