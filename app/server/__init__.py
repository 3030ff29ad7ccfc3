"""`nmt serve`: exports behind HTTP, and a page. It loads SavedModels and nothing of what trains them."""
