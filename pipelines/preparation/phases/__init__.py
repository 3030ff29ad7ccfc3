"""The phases of a preparation, one module each, in the order in which they run."""
