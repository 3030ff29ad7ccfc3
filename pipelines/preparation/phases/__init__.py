"""The phases of a preparation, one module each: hold out, clean, deduplicate, learn a vocabulary, encode, assemble."""
