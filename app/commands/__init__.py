"""The verbs of the command line, one module each: `add_parser` adds its options, `run` runs it."""
