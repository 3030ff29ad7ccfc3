"""From a line of text to the sentences that the model reads, and from its sentences back to a line."""
