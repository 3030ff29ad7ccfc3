"""What leaves the program: the SavedModel, and what serves it."""
