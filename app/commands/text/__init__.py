"""Commands that apply a model to text, line by line."""
