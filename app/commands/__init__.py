"""The verbs of the command line, one module each: `add_parser` describes it, `run` does it."""
