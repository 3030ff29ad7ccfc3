"""Generation: the engine of a language model, which continues and scores texts."""
